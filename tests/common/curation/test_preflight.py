import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.config.settings import DataConfig
from common.curation.preflight import Preflight, as_json, check
from common.curation.selection import list_corpus

DATA = Path(__file__).parents[3] / "../shared/data"
RATE = 8000
Rows = list[tuple[str, str, str]]


def tone(path: Path, seed: int, seconds: float = 0.5, level: float = 0.3) -> None:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(seed).uniform(-level, level, int(RATE * seconds))
    soundfile.write(path, noise, RATE, subtype="PCM_16")


@pytest.fixture
def healthy(tmp_path: Path) -> Rows:
    """Two speakers, two classes, two recordings of half a second each."""
    rows = [
        (f"{speaker}{emotion}{n}.wav", emotion, speaker) for speaker in "ab" for emotion in ("ang", "sad") for n in "12"
    ]
    for seed, (name, _, _) in enumerate(rows):
        tone(tmp_path / name, seed)
    return rows


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., Preflight]:
    def run(rows: Rows, classes: tuple[str, ...] = (), workers: int = 0) -> Preflight:
        path = tmp_path / "manifest.csv"
        path.write_text("path,emotion,speaker\n" + "".join(",".join(row) + "\n" for row in rows))
        return check(list_corpus(DataConfig(corpus="manifest", root=str(path), classes=classes)), workers=workers)

    return run


def kinds(result: Preflight) -> list[tuple[str, str]]:
    return [(problem.kind, Path(problem.path).name) for problem in result.problems]


def test_counts_of_a_healthy_corpus(healthy: Rows, examine: Callable[..., Preflight]) -> None:
    result = examine(healthy)
    assert as_json(result) == {
        "corpus": "manifest",
        "utterances": 8,
        "hours": round(8 * 0.5 / 3600, 6),
        "classes": {"anger": 4, "sadness": 4},
        "speakers": {"a": 4, "b": 4},
        "sessions": {},
        "sample_rates": {"8000": 8},
        "problems": [],
    }
    assert result.obstacles() == []


def test_files_that_cannot_be_used_are_named_and_not_counted(
    tmp_path: Path, healthy: Rows, examine: Callable[..., Preflight]
) -> None:
    (tmp_path / "text.wav").write_text("no audio at all")
    whole = (tmp_path / "aang1.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    tone(tmp_path / "brief.wav", 20, seconds=0.09)
    tone(tmp_path / "empty.wav", 20, seconds=0)
    tone(tmp_path / "quiet.wav", 21, level=1e-6)
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan] * RATE), RATE, subtype="FLOAT")
    bad = ["gone.wav", "text.wav", "cut.wav", "brief.wav", "empty.wav", "quiet.wav", "nan.wav"]
    result = examine([*healthy, *((name, "ang", "a") for name in bad)])
    assert kinds(result) == [
        ("non-finite", "nan.wav"),
        ("short", "brief.wav"),
        ("short", "empty.wav"),
        ("silent", "quiet.wav"),
        ("truncated", "cut.wav"),
        ("unreadable", "gone.wav"),
        ("unreadable", "text.wav"),
    ]
    assert result.utterances == 8
    assert result.obstacles() == []


def test_a_name_that_is_no_path_is_one_unreadable_file(healthy: Rows, examine: Callable[..., Preflight]) -> None:
    [problem] = examine([*healthy, ("a\0b.wav", "ang", "a")]).problems
    assert (problem.kind, problem.detail) == ("unreadable", "its name is no path (embedded null byte)")


def test_clipped_audio_is_reported_and_counted(
    tmp_path: Path, healthy: Rows, examine: Callable[..., Preflight]
) -> None:
    tone(tmp_path / "loud.wav", 30, level=2.0)
    result = examine([*healthy, ("loud.wav", "ang", "a")])
    assert kinds(result) == [("clipped", "loud.wav")]
    assert result.utterances == 9


def test_a_stretch_beyond_the_file_is_truncated(tmp_path: Path, healthy: Rows) -> None:
    path = tmp_path / "stretches.csv"
    first = "aang1.wav,ang,a,0,0.2\naang1.wav,ang,a,0.2,0.4\naang1.wav,ang,a,0.4,0.9\n"
    path.write_text(f"path,emotion,speaker,start,end\n{first}bsad1.wav,sad,a,,\nbsad2.wav,sad,b,,\nbang1.wav,ang,b,,\n")
    result = check(list_corpus(DataConfig(corpus="manifest", root=str(path))), workers=0)
    assert kinds(result) == [("truncated", "aang1.wav")]
    assert "0.4-0.9 s" in result.problems[0].detail
    assert result.utterances == 5


@pytest.mark.parametrize(
    ("emotion", "speaker", "kind", "counted"),
    [
        ("ang", "a", {"duplicate"}, 9),
        ("sad", "a", {"duplicate-label"}, 7),
        ("ang", "b", {"duplicate-speaker"}, 7),
        ("sad", "b", {"duplicate-label", "duplicate-speaker"}, 7),
    ],
)
def test_the_same_bytes_twice(
    emotion: str,
    speaker: str,
    kind: set[str],
    counted: int,
    tmp_path: Path,
    healthy: Rows,
    examine: Callable[..., Preflight],
) -> None:
    (tmp_path / "copy.wav").write_bytes((tmp_path / "aang1.wav").read_bytes())
    result = examine([*healthy, ("copy.wav", emotion, speaker)])
    assert {problem.kind for problem in result.problems} == kind
    assert {Path(problem.path).name for problem in result.problems} >= {"copy.wav"}
    assert result.utterances == counted
    assert result.obstacles() == []  # a run leaves them out and goes on


def test_a_class_that_copies_leave_with_one_speaker_is_an_obstacle(
    tmp_path: Path, healthy: Rows, examine: Callable[..., Preflight]
) -> None:
    rows = [row for row in healthy if row[0] != "aang2.wav"]
    (tmp_path / "copy.wav").write_bytes((tmp_path / "aang1.wav").read_bytes())
    result = examine([*rows, ("copy.wav", "ang", "b")])
    assert {problem.kind for problem in result.problems} == {"duplicate-speaker", "single-speaker-class"}
    assert "2 speakers" in result.obstacles()[0]


def test_a_copy_in_another_folder_is_named(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        for seed, name in enumerate(("03a01Wa", "03a01Ta", "08a01Wa", "08a01Ta")):
            tone(tmp_path / folder / f"{name}.wav", seed)
    result = check(list_corpus(DataConfig(corpus="emodb", root=str(tmp_path))), workers=0)
    assert result.utterances == 4
    assert {problem.path for problem in result.problems} == {str(path) for path in (tmp_path / "two").iterdir()}
    assert {problem.kind for problem in result.problems} == {"duplicate"}


def test_labels_that_are_no_emotion(healthy: Rows, examine: Callable[..., Preflight]) -> None:
    rows = [*healthy, ("x.wav", "angr", "a"), ("y.wav", "fear", "a")]
    assert ("unknown-label", "x.wav") in kinds(examine(rows))
    assert kinds(examine(rows, classes=("ang", "sad"))) == [
        ("unknown-label", "x.wav")
    ]  # fear is known, just not chosen


def test_iemocap_without_agreement_is_no_problem(tmp_path: Path) -> None:
    labels = tmp_path / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    wavs = tmp_path / "Session1/sentences/wav/Ses01F_impro01"
    labels.parent.mkdir(parents=True)
    wavs.mkdir(parents=True)
    turns = {"F000": "ang", "M000": "ang", "F001": "neu", "M001": "neu", "M002": "xxx", "M003": "oth", "M004": "fru"}
    labels.write_text(
        "".join(f"[1.0 - 2.0]\tSes01F_impro01_{turn}\t{label}\t[1, 1, 1]\n" for turn, label in turns.items())
    )
    for seed, turn in enumerate(turns):
        tone(wavs / f"Ses01F_impro01_{turn}.wav", seed)
    result = check(list_corpus(DataConfig(corpus="iemocap", root=str(tmp_path))), workers=0)
    assert result.problems == ()
    assert (result.classes, result.sessions) == ({"anger": 2, "neutral": 2}, {"1": 4})
    assert result.speakers == {"Ses01F": 2, "Ses01M": 2}


def test_classes_with_too_few_speakers(tmp_path: Path, healthy: Rows, examine: Callable[..., Preflight]) -> None:
    tone(tmp_path / "f.wav", 40)
    (tmp_path / "broken.wav").touch()
    result = examine([*healthy, ("f.wav", "fear", "a"), ("broken.wav", "disgust", "a")])
    found = {problem.kind: problem.detail for problem in result.problems}
    assert found["single-speaker-class"] == "only speaker a has fear"
    assert found["missing-class"] == "disgust has no usable utterance"
    assert result.classes == {"anger": 4, "disgust": 0, "fear": 1, "sadness": 4}
    assert len(result.obstacles()) == 1
    assert "2 speakers" in result.obstacles()[0]


def test_one_class_is_not_enough(healthy: Rows, examine: Callable[..., Preflight]) -> None:
    result = examine([row for row in healthy if row[1] == "ang"])
    assert "fewer than 2 classes" in result.obstacles()[0]


def test_feature_matrices(tmp_path: Path, examine: Callable[..., Preflight]) -> None:
    good = np.random.default_rng(0).normal(size=(8, 3, 5))
    rows = [(f"{n}.npy", "ang" if n % 2 else "sad", "a" if n < 4 else "b") for n in range(8)]
    for (name, _, _), matrix in zip(rows, good, strict=True):
        np.save(tmp_path / name, matrix[: 1 if name == "0.npy" else 3])
    bad: dict[str, object] = {
        "vector": good[0, 0],
        "text": np.array([["a"]]),
        "pickle": np.array([[{}]], dtype=object),
        "inf": np.array([[np.inf] * 5]),
        "huge": np.array([[1e300] * 5]),
        "empty": np.zeros((0, 5)),
        "wide": np.zeros((2, 6)),
    }
    for name, value in bad.items():
        np.save(tmp_path / f"{name}.npy", np.asarray(value))
    (tmp_path / "junk.npy").write_text("junk")
    names = [*bad, "junk"]
    result = examine([*rows, *((f"{name}.npy", "ang", "a") for name in names)])
    assert kinds(result) == [
        ("mixed", "wide.npy"),
        ("non-finite", "huge.npy"),
        ("non-finite", "inf.npy"),
        ("short", "empty.npy"),
        ("unreadable", "junk.npy"),
        ("unreadable", "pickle.npy"),
        ("unreadable", "text.npy"),
        ("unreadable", "vector.npy"),
    ]
    assert (result.utterances, result.hours, result.sample_rates) == (8, 0.0, {})


def test_stretches_that_overlap_and_copies_of_them_are_listed(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.wav", "b.wav", "c.wav")):
        tone(tmp_path / name, seed, seconds=2.0)
    (tmp_path / "copy.wav").write_bytes((tmp_path / "a.wav").read_bytes())
    (tmp_path / "manifest.csv").write_text(
        "path,emotion,speaker,start,end\n"
        "a.wav,ang,a,0,1\na.wav,sad,a,0.5,1.5\n"  # overlap
        "copy.wav,sad,a,1.25,2\n"  # overlaps what is the second row's
        "b.wav,ang,a,0,1\nb.wav,sad,b,1,2\n"  # touch
        "c.wav,sad,b,,\nc.wav,sad,b,0,\n"  # one stretch, said in two ways
        "c.wav,ang,b,0.2,0.4\n"
    )
    result = check(list_corpus(DataConfig(corpus="manifest", root=str(tmp_path))), workers=0)
    assert [(problem.kind, Path(problem.path).name, problem.detail) for problem in result.problems] == [
        ("duplicate", "c.wav", f"the same bytes as {tmp_path / 'c.wav'} (0- s)"),
        ("overlap", "a.wav", "overlaps 0 to 1 s of the same file (0.5-1.5 s)"),
        ("overlap", "c.wav", "overlaps 0 s to the end of the same file (0.2-0.4 s)"),
        ("overlap", "copy.wav", f"overlaps 0.5 to 1.5 s of its copy {tmp_path / 'a.wav'} (1.25-2 s)"),
    ]
    assert result.utterances == 8


def test_worker_processes_give_the_same(tmp_path: Path, healthy: Rows, examine: Callable[..., Preflight]) -> None:
    rows = [(f"{n}/{name}", emotion, speaker) for n in range(13) for name, emotion, speaker in healthy]
    for seed, (name, _, _) in enumerate(rows):
        tone(tmp_path / name, seed, seconds=0.15)
    (tmp_path / rows[50][0]).write_text("broken")
    assert examine(rows, workers=2) == examine(rows)


@pytest.mark.data
@pytest.mark.skipif(not DATA.exists(), reason="the recordings are not here")
def test_real_emodb() -> None:
    result = check(list_corpus(DataConfig(corpus="emodb", root=str(DATA / "emodb"))))
    assert result.problems == ()
    assert result.classes == {"anger": 127, "happiness": 71, "neutral": 79, "sadness": 62}
    assert result.sample_rates == {"16000": 339}
    assert len(result.speakers) == 10


def listed(path: Path, rows: list[str]) -> Preflight:
    path.write_text("path,emotion,speaker,start,end,channel\n" + "".join(row + "\n" for row in rows))
    return check(list_corpus(DataConfig(corpus="manifest", root=str(path))), workers=0)


def test_two_people_on_two_channels_are_two_utterances(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for call in "ab":
        soundfile.write(tmp_path / f"{call}.wav", rng.uniform(-0.3, 0.3, (RATE, 2)), RATE)
    rows = [f"{call}.wav,{label},{who}{call},,,{who}" for call in "ab" for who, label in enumerate(("ang", "sad"))]
    assert listed(tmp_path / "m.csv", rows).problems == ()
    rows.append("a.wav,ang,x,,,2")
    [problem] = listed(tmp_path / "m.csv", rows).problems
    assert (problem.kind, problem.detail) == ("unreadable", "no channel 2: it has 2, counted from 0 (channel 2)")


def test_a_header_that_never_got_its_length_is_named_and_what_is_behind_it_counted(
    tmp_path: Path, healthy: Rows, examine: Callable[..., Preflight]
) -> None:
    content = bytearray((tmp_path / healthy[0][0]).read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = bytes(4)
    content[-1] ^= 1  # other bytes than the file that it is of
    (tmp_path / "stream.wav").write_bytes(content)
    result = examine([*healthy, ("stream.wav", "ang", "a")])
    assert kinds(result) == [("wrong-length", "stream.wav")]
    assert "says that it holds 0 bytes of sound, 8000 are there" in result.problems[0].detail
    assert result.utterances == 9


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_of_many_stretches_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    tone(tmp_path / "long.wav", 1, seconds=30)
    counted = tmp_path / "hashed"
    whole = hashlib.file_digest

    def counting(*arguments: object) -> object:
        with counted.open("a") as file:
            file.write("x")
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", counting)
    rows = [f"long.wav,{('ang', 'sad')[i % 2]},s{i % 3},{i * 0.2:.1f},{i * 0.2 + 0.2:.1f}" for i in range(120)]
    (tmp_path / "m.csv").write_text("path,emotion,speaker,start,end\n" + "".join(row + "\n" for row in rows))
    result = check(list_corpus(DataConfig(corpus="manifest", root=str(tmp_path / "m.csv"))), workers=workers)
    assert result.utterances == 120
    assert counted.read_text() == "x"
