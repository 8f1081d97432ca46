"""The corpora whose file names say everything: RAVDESS, EMO-DB, CREMA-D, TESS, CASIA."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from common.corpora import casia, cremad, emodb, ravdess, tess
from common.corpora.catalogue import CORPORA
from common.errors import CorpusError

DATA = Path(__file__).parents[3] / "../shared/data"
Touch = Callable[..., Path]


def facts(module: ModuleType, root: Path) -> list[tuple[str, str, str, str | None]]:
    return [(u.path.relative_to(root).as_posix(), u.emotion, u.speaker, u.gender) for u in module.load(root)]


def test_ravdess_reads_the_name_and_passes_over_songs_and_videos(touch: Touch) -> None:
    root = touch(
        "Actor_12/03-01-05-02-01-02-12.wav",
        "Actor_01/03-01-02-01-01-01-01.FLAC",
        "Actor_01/03-02-05-01-01-01-01.wav",
        "Actor_01/02-01-05-01-01-01-01.wav",
        "Actor_01/._03-01-05-01-01-01-01.wav",
    )
    assert facts(ravdess, root) == [
        ("Actor_01/03-01-02-01-01-01-01.FLAC", "calm", "01", "male"),
        ("Actor_12/03-01-05-02-01-02-12.wav", "anger", "12", "female"),
    ]


def test_ravdess_unpacked_twice_counts_once(touch: Touch) -> None:
    name = "Actor_01/03-01-05-02-01-02-01.wav"
    root = touch(f"Audio_Speech_Actors_01-24/{name}", name)
    assert [u.path for u in ravdess.load(root)] == [root / name]


def test_ravdess_songs_alone_are_no_speech(touch: Touch) -> None:
    with pytest.raises(CorpusError, match=r"no RAVDESS speech .*03-01-05.*found only such as 03-02-05"):
        ravdess.load(touch("03-02-05-01-01-01-01.wav"))


def test_emodb_letters_and_genders(touch: Touch) -> None:
    root = touch(
        *(f"wav/{name}.wav" for name in ("03a01Wa", "08a01La", "09a02Eb", "10b01Ac", "11a05Fd", "14a07Ta", "16b02Nb"))
    )
    assert [(s, e, g) for _, e, s, g in facts(emodb, root)] == [
        ("03", "anger", "male"),
        ("08", "boredom", "female"),
        ("09", "disgust", "female"),
        ("10", "fear", "male"),
        ("11", "happiness", "male"),
        ("14", "sadness", "female"),
        ("16", "neutral", "female"),
    ]


def test_emodb_keeps_an_unknown_letter_and_the_lossless_of_two_formats(touch: Touch) -> None:
    root = touch("03a01Xa.wav", "a/03a01Wa.mp3", "b/03a01Wa.flac", "notes.wav")
    assert facts(emodb, root) == [("03a01Xa.wav", "x", "03", "male"), ("b/03a01Wa.flac", "anger", "03", "male")]


def test_cremad_takes_gender_from_the_demographics(touch: Touch) -> None:
    root = touch("AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1002_IEO_HAP_LO.wav", "AudioWAV/1040_ITH_SAD_X.wav")
    assert {gender for *_, gender in facts(cremad, root)} == {None}
    (root / "VideoDemographics.csv").write_text("ActorID,Age,Sex,Race\n1001,51,Male,x\n1002,21,Female,x\n")
    assert [(s, e, g) for _, e, s, g in facts(cremad, root)] == [
        ("1001", "anger", "male"),
        ("1002", "happiness", "female"),
        ("1040", "sadness", None),
    ]


def test_cremad_refuses_broken_demographics(touch: Touch) -> None:
    root = touch("1001_DFA_ANG_XX.wav")
    (root / "VideoDemographics.csv").write_text("Actor;Sex\n1001;Male\n")
    with pytest.raises(CorpusError, match="ActorID and Sex"):
        cremad.load(root)


def test_tess_speakers_and_pleasant_surprise(touch: Touch) -> None:
    root = touch("YAF_happy/YAF_back_happy.wav", "OAF_x/OAF_bar_ps.wav", "OAF_neutral/OA_bite_neutral.wav")
    assert [(s, e, g) for _, e, s, g in facts(tess, root)] == [
        ("OAF", "neutral", "female"),
        ("OAF", "surprise", "female"),
        ("YAF", "happiness", "female"),
    ]


def test_casia_reads_the_folders(touch: Touch) -> None:
    root = touch("CASIA/liuchanhg/angry/201.wav", "CASIA/liuchanhg/happy/201.wav", "CASIA/wangzhe/surprise/250.WAV")
    assert [(s, e, g) for _, e, s, g in facts(casia, root)] == [
        ("liuchanhg", "anger", None),
        ("liuchanhg", "happiness", None),
        ("wangzhe", "surprise", None),
    ]


def test_casia_refuses_folders_that_are_no_emotions(touch: Touch) -> None:
    with pytest.raises(CorpusError, match=r"SPEAKER/EMOTION/NNN.wav.*found data/train/001.wav"):
        casia.load(touch("data/train/001.wav"))


EXAMPLES = {
    "ravdess": "03-01-05-02-01-02-12.wav",
    "emodb": "03a01Wa.wav",
    "casia": "SPEAKER/angry/201.wav",
    "cremad": "1001_DFA_ANG_XX.wav",
    "tess": "OAF_back_angry.wav",
    "iemocap": "Ses01F_impro01_F000.wav",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_wrong_root_is_one_clear_line(name: str, touch: Touch, tmp_path: Path) -> None:
    module = CORPORA[name]
    example = EXAMPLES[name]
    with pytest.raises(CorpusError, match=rf"does not exist; looked for .*{example}: --root names"):
        module.load(tmp_path / "none")
    with pytest.raises(CorpusError, match=rf"is empty; looked for .*{example}: --root names"):
        module.load(tmp_path)
    root = touch("song.wav", "readme.txt")
    with pytest.raises(CorpusError, match=rf"is a file; looked for .*{example}: --root names"):
        module.load(root / "song.wav")
    with pytest.raises(CorpusError, match="looked for") as caught:
        module.load(root)
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_every_corpus_says_where_it_is_from(name: str) -> None:
    module = CORPORA[name]
    assert module.cite()
    assert module.LICENCE
    assert module.SOURCE
    assert len(module.CLASSES) >= 4
    assert module.LANGUAGE in (None, "en", "de", "zh")


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the recordings are not here")
def test_real_emodb() -> None:
    listed = emodb.load(DATA / "emodb")
    assert Counter(u.emotion for u in listed) == {"anger": 127, "neutral": 79, "happiness": 71, "sadness": 62}
    assert len({u.speaker for u in listed}) == 10
    assert Counter(u.gender for u in {u.speaker: u for u in listed}.values()) == {"female": 5, "male": 5}


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the recordings are not here")
def test_real_ravdess() -> None:
    listed = ravdess.load(DATA / "ravdess")
    counts = Counter(u.emotion for u in listed)
    assert counts.pop("neutral") == 96
    assert set(counts) == set(ravdess.CLASSES) - {"neutral"}
    assert set(counts.values()) == {192}
    assert {u.speaker for u in listed} == {f"{actor:02d}" for actor in range(1, 25)}
