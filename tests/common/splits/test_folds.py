import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import SplitError, UsageError
from common.splits.folds import Fold, held_out, order, read_emobox
from common.utterance import Utterance
from tests.common.examples import utterance

# Ten speakers of five sessions, a woman and a man in each, as in IEMOCAP.
DYADS = [
    utterance(f"Ses0{session}{sex}", session=str(session), gender={"F": "female", "M": "male"}[sex])
    for session in range(1, 6)
    for sex in "FM"
]
TESTED_ON = {
    "session:5": ["Ses05F Ses05M"],
    "speaker:Ses03M": ["Ses03M"],
    "kfold:5:0": ["Ses01F Ses01M"],
    "kfold:3:1": ["Ses02F Ses05F Ses03M"],
    "sessions": [f"Ses0{n}F Ses0{n}M" for n in range(1, 6)],
    "speakers": [f"Ses0{n}{sex}" for sex in "FM" for n in range(1, 6)],
    "kfold:3": ["Ses01F Ses04F Ses02M Ses05M", "Ses02F Ses05F Ses03M", "Ses03F Ses01M Ses04M"],
}


@pytest.mark.parametrize("spec", TESTED_ON)
def test_every_specification(spec: str) -> None:
    folds = held_out(DYADS, spec)
    assert [sorted(fold.test) for fold in folds] == [sorted(names.split()) for names in TESTED_ON[spec]]
    for fold in folds:
        assert list(fold.test) == sorted(fold.test)
        assert list(fold.train) == sorted({u.speaker for u in DYADS} - set(fold.test))


def test_a_folds_name_is_the_specification_that_makes_it_alone() -> None:
    for spec in ("sessions", "speakers", "kfold:5"):
        for fold in held_out(DYADS, spec):
            assert held_out(DYADS, fold.name) == [fold]
    assert [fold.name for fold in held_out(DYADS, "kfold:2")] == ["kfold:2:0", "kfold:2:1"]
    assert [fold.name for fold in held_out(DYADS, "sessions")] == [f"session:{n}" for n in range(1, 6)]


def test_speakers_are_dealt_by_gender_then_by_id_as_text() -> None:
    known = [utterance(str(n), gender="female" if n % 2 else "male") for n in range(1, 12)]
    assert order(known) == ["1", "11", "3", "5", "7", "9", "10", "2", "4", "6", "8"]
    assert held_out(known, "kfold:4:3")[0].test == ("2", "5")
    unknown = [utterance(str(n)) for n in range(1, 12)]
    assert order(unknown) == ["1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9"]


def test_speakers_of_unknown_gender_come_last() -> None:
    assert order([utterance("a"), utterance("b", gender="male"), utterance("c", gender="female")]) == ["c", "b", "a"]


def test_one_line_with_the_gender_is_enough() -> None:
    lines = [utterance("a", gender="male"), utterance("a"), utterance("b", gender="female"), utterance("b")]
    assert order(lines) == order(lines[::-1]) == ["b", "a"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("session:6", "held-out session '6' does not exist; sessions found: 1, 2, 3, 4, 5"),
        ("speaker:3", "held-out speaker '3' does not exist; speakers found: Ses01F, Ses02F"),
        ("kfold:11", "kfold:11 needs at least 11 speakers, there are 10"),
        ("split", "no utterance has split=test"),
    ],
)
def test_folds_that_these_speakers_do_not_have(spec: str, message: str) -> None:
    with pytest.raises(SplitError, match=message) as refused:
        held_out(DYADS, spec)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "spec",
    [
        "session",
        "session:",
        "speaker:",
        "language",
        "language:",
        "languages:de",
        "sessions:1",
        "speakers:03",
        "split:test",
        "kfold",
        "kfold:",
        "kfold:0",
        "kfold:1",
        "kfold:-5",
        "kfold:5:",
        "kfold:5:5",
        "kfold:5:-1",
        "kfold:5:0:0",
        "kfold:five",
        "KFOLD:5",
        "loso",
        "",
    ],
)
def test_specifications_that_cannot_be_read(spec: str) -> None:
    with pytest.raises(UsageError, match=r"^--held-out is ") as refused:
        held_out(DYADS, spec)
    assert "\n" not in str(refused.value)


def test_a_session_that_shares_speakers_is_refused() -> None:
    shared = [utterance("a", session="1"), utterance("b", session="1"), utterance("b", session="2"), utterance("c")]
    for spec in ("session:1", "session:2", "sessions"):
        with pytest.raises(SplitError, match=r"session . shares speakers with other sessions \(b\); hold out speakers"):
            held_out(shared, spec)


def test_a_session_that_shares_a_speaker_with_lines_without_session_is_refused() -> None:
    with pytest.raises(SplitError, match=r"shares speakers with other sessions \(a\)"):
        held_out([utterance("a", session="1"), utterance("a"), utterance("b")], "session:1")


TONGUES = [
    utterance(name, language=code) for name, code in zip("abcde", ("deu", "DE-at", "en", "eng", "zh"), strict=True)
]


@pytest.mark.parametrize(
    ("spec", "folds"),
    [
        ("languages", {"language:de": "a b", "language:en": "c d", "language:zh": "e"}),
        ("language:de", {"language:de": "a b"}),
        ("language:DE_CH", {"language:de": "a b"}),
    ],
)
def test_a_language_is_held_out_with_all_who_speak_it(spec: str, folds: dict[str, str]) -> None:
    found = held_out(TONGUES, spec)
    assert {fold.name: " ".join(fold.test) for fold in found} == folds
    assert all(sorted((*fold.test, *fold.train)) == list("abcde") for fold in found)


@pytest.mark.parametrize(
    ("lines", "spec", "line"),
    [
        (TONGUES, "language:fr", "held-out language 'fr' does not exist; languages found: de, en, zh"),
        ([utterance("a"), utterance("b")], "languages", "these utterances have no language, of which a manifest has a"),
        ([*TONGUES, utterance("f")], "language:de", "1 of 6 recordings have no language, and might be of the one that"),
        ([*TONGUES, utterance("f", language="und")], "language:de", "1 of 6 recordings have no language, and might be"),
        ([*TONGUES, utterance("f", language="German")], "language:de", "language 'German' is no code of ISO 639;"),
        (TONGUES[:2], "languages", "held-out fold language:de: 2 of 2 speakers, expected some but not all"),
        ([*TONGUES, utterance("a", language="en")], "languages", r"language de: a (de, en) would be in both train and"),
        ([*TONGUES, utterance("a", language="en")], "language:en", r"language en: a (de, en) would be in both train"),
    ],
)
def test_a_language_that_cannot_be_held_out_is_one_line(lines: list[Utterance], spec: str, line: str) -> None:
    with pytest.raises(SplitError, match=re.escape(line)) as refused:
        held_out(lines, spec)
    assert "\n" not in str(refused.value)


def test_who_speaks_two_languages_that_both_train_is_in_nobodys_way() -> None:
    [fold] = held_out([*TONGUES, utterance("c", language="zh")], "language:de")
    assert fold.train == ("c", "d", "e")


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sampled_from(["de", "en", "zh"]), min_size=1))
def test_no_held_out_language_is_heard_in_training(spoken: dict[str, str]) -> None:
    lines = [utterance(name, f"{take}.wav", language=code) for name, code in spoken.items() for take in range(2)]
    if len(set(spoken.values())) < 2:
        with pytest.raises(SplitError):
            held_out(lines, "languages")
        return
    folds = held_out(lines, "languages")
    assert [fold.name for fold in folds] == [f"language:{code}" for code in sorted(set(spoken.values()))]
    for fold in folds:
        assert {f"language:{spoken[name]}" for name in fold.test} == {fold.name}
        assert fold.name not in {f"language:{spoken[name]}" for name in fold.train}
        assert sorted((*fold.test, *fold.train)) == sorted(spoken)


def test_everyone_cannot_be_held_out() -> None:
    with pytest.raises(SplitError, match="held-out fold session:1: 2 of 2 speakers, expected some but not all"):
        held_out(DYADS[:2], "session:1")
    with pytest.raises(SplitError, match="1 of 1 speakers"):
        held_out(DYADS[:1], "speakers")
    with pytest.raises(SplitError, match="no sessions"):
        held_out([utterance("a"), utterance("b")], "sessions")


def test_a_manifests_own_split() -> None:
    lines = [utterance("a", split="train"), utterance("b", split="test"), utterance("c")]
    assert held_out(lines, "split") == [Fold(name="split", test=("b",), train=("a", "c"))]
    with pytest.raises(SplitError, match="speakers with split=test and without: b; expected each in one only"):
        held_out([*lines, utterance("b")], "split")


def test_speakers_that_a_manifest_keeps_for_the_test_train_in_no_fold(caplog: pytest.LogCaptureFixture) -> None:
    lines = [utterance(name, split="test" if name in "ad" else "train") for name in "abcde"]
    folds = {fold.name: (fold.test, fold.train) for fold in held_out(lines, "kfold:2")}
    assert folds == {"kfold:2:0": (("a", "c", "e"), ("b",)), "kfold:2:1": (("b", "d"), ("c", "e"))}
    assert "speakers with split=test train in no fold: a, d" in caplog.text
    with pytest.raises(SplitError, match="all others have split=test"):
        held_out([utterance("a", split="test"), utterance("b")], "speaker:b")


people = st.dictionaries(
    st.text("ab01é", min_size=1, max_size=4), st.sampled_from([None, "female", "male"]), min_size=2, max_size=20
)


@settings(deadline=None, max_examples=50)
@given(people, st.data())
def test_folds_partition_the_speakers(genders: dict[str, str | None], data: st.DataObject) -> None:
    utterances = [utterance(speaker, gender=gender) for speaker, gender in genders.items()]
    again = data.draw(st.permutations(utterances))
    k = data.draw(st.integers(2, len(genders)))
    for spec in ("speakers", f"kfold:{k}"):
        folds = held_out(utterances, spec)
        tested = [speaker for fold in folds for speaker in fold.test]
        assert sorted(tested) == sorted(genders)
        for fold in folds:
            assert not set(fold.test) & set(fold.train)
            assert set(fold.test) | set(fold.train) == set(genders)
        assert held_out(again, spec) == folds
    sizes = [len(fold.test) for fold in held_out(utterances, f"kfold:{k}")]
    assert max(sizes) - min(sizes) <= 1
    women = {speaker for speaker, gender in genders.items() if gender == "female"}
    share = [len(women & set(fold.test)) for fold in held_out(utterances, f"kfold:{k}")]
    assert max(share) - min(share) <= 1


def emobox(folder: Path, part: str, wavs: list[str], corpus: str = "emodb") -> Path:
    lines = [
        {"key": f"{corpus}-{Path(wav).stem}", "dataset": corpus, "wav": f"downloads/{corpus}/{wav}", "type": "raw"}
        | {"sample_rate": 16000, "num_frame": 16000.0, "task": "category", "length": 1.0, "emo": "anger", "channel": 1}
        for wav in wavs
    ]
    path = folder / f"{corpus}_{part}_fold_1.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "\n")
    return path


EMODB = [utterance(name[:2], f"/data/emodb/{name}.wav") for name in ("03a01Wa", "03a02Fb", "08a01Wa", "09b10Td")]


def test_an_emobox_fold_is_found_by_either_of_its_files(tmp_path: Path) -> None:
    test = emobox(tmp_path, "test", ["wav/08a01Wa.wav"])
    train = emobox(tmp_path, "train", ["wav/03a01Wa.wav", "wav/03a02Fb.wav", "wav/16a01Wa.wav"])
    fold = read_emobox(test, EMODB)
    assert fold == Fold(name="emobox:emodb_test_fold_1", test=("08",), train=("03",))
    assert read_emobox(train, EMODB) == fold


def test_without_its_train_file_all_others_train(tmp_path: Path) -> None:
    assert read_emobox(emobox(tmp_path, "test", ["wav/08a01Wa.wav"]), EMODB).train == ("03", "09")
    train = emobox(tmp_path / "..", "train", ["wav/03a01Wa.wav"], "alone")
    with pytest.raises(UsageError, match=r"expected its test file alone_test_fold_1\.jsonl beside it"):
        read_emobox(train, EMODB)


def test_an_emobox_fold_with_speakers_on_both_sides_is_refused(tmp_path: Path) -> None:
    test = emobox(tmp_path, "test", ["wav/03a01Wa.wav", "wav/08a01Wa.wav"])
    emobox(tmp_path, "train", ["wav/03a02Fb.wav", "wav/08a01Wa.wav", "wav/09b10Td.wav"])
    with pytest.raises(SplitError, match=r"2 speakers are in both train and test \(03, 08\)") as refused:
        read_emobox(test, EMODB)
    assert "\n" not in str(refused.value)


def test_a_test_file_alone_that_names_part_of_a_speakers_recordings_is_refused(tmp_path: Path) -> None:
    test = emobox(tmp_path, "test", ["wav/03a01Wa.wav", "wav/08a01Wa.wav", "wav/09b10Td.wav"])
    found = r"1 speakers are in both train and test \(03\) \(without a train file beside it"
    with pytest.raises(SplitError, match=found) as refused:
        read_emobox(test, EMODB)
    assert "\n" not in str(refused.value)


def test_a_test_file_alone_that_leaves_nobody_to_train_on_is_refused(tmp_path: Path) -> None:
    test = emobox(tmp_path, "test", [f"wav/{item.path.name}" for item in EMODB])
    with pytest.raises(SplitError, match="names every recording of all 3 speakers, so that nobody is left to train on"):
        read_emobox(test, EMODB)


@pytest.mark.parametrize(
    ("corpus", "test", "train"),
    [
        ("iemocap", "Session5/sentences/wav/Ses05F_impro01/Ses05F_impro01_M000.wav", "Ses01F_impro01_F000.wav"),
        ("ravdess", "Actor_01/03-01-05-01-01-01-01.wav", "Actor_02/03-01-05-01-01-01-02.wav"),
    ],
)
def test_emobox_folds_of_other_corpora(tmp_path: Path, corpus: str, test: str, train: str) -> None:
    listed = [utterance("x", f"/elsewhere/{Path(test).stem}.flac"), utterance("y", f"/elsewhere/{Path(train).name}")]
    emobox(tmp_path, "train", [train], corpus)
    fold = read_emobox(emobox(tmp_path, "test", [test], corpus), listed)
    assert (fold.test, fold.train) == (("x",), ("y",))


def casia(root: str = "/data/CASIA") -> list[Utterance]:
    return [
        utterance(speaker, f"{root}/{speaker}/{emotion}/{number}.wav", emotion)
        for speaker in ("liuchanhg", "wangzhe", "zhaoquanyin")
        for emotion in ("angry", "neutral")
        for number in (201, 202)
    ]


def test_an_emobox_fold_of_a_corpus_whose_file_names_repeat(tmp_path: Path) -> None:
    emobox(tmp_path, "train", ["liuchanhg/angry/201.wav", "zhaoquanyin/neutral/202.wav"], "casia")
    fold = read_emobox(emobox(tmp_path, "test", ["wangzhe/angry/201.wav", "wangzhe/neutral/202.wav"], "casia"), casia())
    assert (fold.test, fold.train) == (("wangzhe",), ("liuchanhg", "zhaoquanyin"))


def test_names_that_do_not_tell_speakers_apart_are_refused(tmp_path: Path) -> None:
    same = [utterance("a", "/1/x/y/z/201.wav"), utterance("b", "/2/x/y/z/201.wav")]
    with pytest.raises(UsageError, match="do not tell its speakers apart"):
        read_emobox(emobox(tmp_path, "test", ["x/y/z/201.wav"]), same)


@pytest.mark.parametrize("text", ['{"key": "x"}', "[1]", '"wav"', '{"wav": 3}', "{", "null", "\udcff"])
def test_a_fold_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "emodb_test_fold_1.jsonl"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match="expected one JSON object with 'wav' a line, as EmoBox writes"):
        read_emobox(path, EMODB)


def test_a_fold_file_that_names_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its test file names no utterance of this corpus"):
        read_emobox(emobox(tmp_path, "test", ["wav/99a01Wa.wav"]), EMODB)
    emobox(tmp_path, "train", ["wav/99a01Wa.wav"])
    with pytest.raises(UsageError, match="its train file names no utterance of this corpus"):
        read_emobox(emobox(tmp_path, "test", ["wav/03a01Wa.wav"]), EMODB)
    with pytest.raises(UsageError, match="No such file"):
        read_emobox(tmp_path / "none_test_fold_1.jsonl", EMODB)
