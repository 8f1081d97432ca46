import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from common.audio.reading import faults, read
from common.corpora import cremad, emodb, iemocap, ravdess, synthetic
from common.corpora.synthetic import MARKER
from common.errors import FedserError, UsageError
from simulations.synthesis import corpus
from simulations.synthesis.corpus import synthesize


def digests(root: Path) -> dict[str, str]:
    paths = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesize(tmp_path_factory.mktemp("corpora") / "small", speakers=4, utterances=16, seed=7, workers=0)


def test_same_seed_same_bytes_whatever_the_workers(small: Path, tmp_path: Path) -> None:
    done: list[int] = []
    again = synthesize(tmp_path / "again", speakers=4, utterances=16, seed=7, workers=2, progress=done.append)
    assert digests(again) == digests(small)
    assert done == list(range(1, 17))


def test_another_seed_other_bytes(small: Path, tmp_path: Path) -> None:
    other = digests(synthesize(tmp_path / "other", speakers=4, utterances=16, seed=8, workers=0))
    ours = digests(small)
    recordings = [name for name in ours if name.endswith(".wav")]
    assert len(recordings) == 16
    assert not {other[name] for name in recordings} & {ours[name] for name in recordings}
    assert len({ours[name] for name in recordings}) == 16


def test_a_larger_corpus_has_the_same_voices(small: Path, tmp_path: Path) -> None:
    larger = digests(synthesize(tmp_path / "larger", speakers=8, utterances=32, seed=7, workers=0))
    recordings = {name: digest for name, digest in digests(small).items() if name.endswith(".wav")}
    assert recordings.items() <= larger.items()


def test_recordings_are_16_bit_16_khz_and_neither_silent_nor_clipped(small: Path) -> None:
    for path in small.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        signal, rate = read(path)
        assert faults(signal, rate) == []
        assert 0.01 < abs(signal).max() < 1
        assert 0.5 < len(signal) / rate < 8


def test_the_folder_says_that_it_is_synthetic(small: Path) -> None:
    marker = json.loads((small / MARKER).read_text())
    assert marker.pop("generator").startswith("fedser ")
    assert marker == {
        "synthetic": True,
        "layout": "iemocap",
        "speakers": 4,
        "utterances": 16,
        "seed": 7,
        "note": "made-up voices; no person speaks here",
    }
    assert "synthetic" in (small / "README.txt").read_text()


def test_the_iemocap_loader_reads_it(small: Path) -> None:
    utterances = iemocap.load(small)
    assert Counter(turn.speaker for turn in utterances) == {"Ses01F": 4, "Ses01M": 4, "Ses02F": 4, "Ses02M": 4}
    assert Counter(turn.emotion for turn in utterances) == {"anger": 4, "happiness": 4, "neutral": 4, "sadness": 4}
    assert {turn.session for turn in utterances} == {"1", "2"}
    assert all(turn.text for turn in utterances)
    assert all(turn.path.is_file() for turn in utterances)


def test_the_other_loaders_read_theirs(tmp_path: Path) -> None:
    actors = ravdess.load(synthesize(tmp_path / "ravdess", layout="ravdess", speakers=2, utterances=16, workers=0))
    assert Counter(turn.speaker for turn in actors) == {"01": 8, "02": 8}
    assert len({turn.emotion for turn in actors}) == 8
    germans = emodb.load(synthesize(tmp_path / "emodb", layout="emodb", speakers=2, utterances=14, workers=0))
    assert {(turn.speaker, turn.gender) for turn in germans} == {("08", "female"), ("03", "male")}
    assert len({turn.emotion for turn in germans}) == 7
    crowd = cremad.load(synthesize(tmp_path / "cremad", layout="cremad", speakers=2, utterances=12, workers=0))
    assert {(turn.speaker, turn.gender) for turn in crowd} == {("1001", "female"), ("1002", "male")}
    assert len({turn.emotion for turn in crowd}) == 6


def test_the_manifest_names_every_recording(tmp_path: Path) -> None:
    root = synthesize(tmp_path / "own", layout="manifest", speakers=2, utterances=6, workers=0)
    rows = [line.split(",") for line in (root / "manifest.csv").read_text().splitlines()]
    assert rows[0][:3] == ["path", "emotion", "speaker"]
    assert {root / row[0] for row in rows[1:]} == set(root.rglob("*.wav"))
    utterances = synthetic.load(root)
    assert Counter((turn.speaker, turn.gender, turn.site) for turn in utterances) == {
        ("spk-01", "female", "site-a"): 3,
        ("spk-02", "male", "site-a"): 3,
    }
    assert {turn.corpus for turn in utterances} == {"synthetic"}


def test_the_same_corpus_is_found_and_left_alone(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    assert synthesize(small, speakers=4, utterances=16, seed=7) == small
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


def test_a_folder_with_something_else_is_refused(small: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no empty folder"):
        synthesize(tmp_path, speakers=1, utterances=1)
    with pytest.raises(UsageError, match="no empty folder"):
        synthesize(tmp_path / "notes.txt", speakers=1, utterances=1)
    with pytest.raises(UsageError, match="another synthetic corpus"):
        synthesize(small, speakers=4, utterances=16, seed=8)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    synthesize(tmp_path, speakers=1, utterances=1, workers=0)
    assert (tmp_path / MARKER).is_file()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_ends_early_leaves_nothing(tmp_path: Path, workers: int) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "corpus", speakers=2, utterances=40, workers=workers, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    gone, running = (tmp_path / f".corpus.partial-{pid}" for pid in (2**22 + 1, 1))
    gone.mkdir()
    running.mkdir()
    synthesize(tmp_path / "corpus", speakers=1, utterances=1, workers=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [running.name, "corpus"]


def test_a_disk_that_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> float:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corpus, "make", full)
    with pytest.raises(FedserError, match="No space left on device"):
        synthesize(tmp_path / "corpus", speakers=1, utterances=1, workers=0)


def test_a_seed_below_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--seed is -1"):
        synthesize(tmp_path / "corpus", seed=-1)


def test_a_folder_that_may_not_be_looked_into_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(FedserError, match=rf"^cannot write the corpus to {tmp_path}: Permission denied; name a folder"):
        synthesize(tmp_path, speakers=4, utterances=16, workers=0)
