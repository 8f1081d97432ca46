import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from common.config.settings import AugmentConfig, FeatureConfig
from common.data import extraction
from common.data.extraction import Recording, extract_all
from common.errors import FedserError
from common.features import extractor
from common.features.cache import FeatureCache
from common.utterance import Utterance
from tests.common.examples import RATE, tone, utterance

SMALL = FeatureConfig(mfcc=4, deltas=0, pitch=False, spectral=False, stack=1)
NO_COPIES = AugmentConfig(copies=0)


def copies(number: int) -> AugmentConfig:
    return AugmentConfig(copies=number, speed=0.1, gain=6.0, noise=(5.0, 20.0))


@pytest.fixture
def corpus(tmp_path: Path) -> list[Utterance]:
    paths = [tone(tmp_path / "wav" / f"{i}.wav", hz=150.0 + 20 * i, seed=i) for i in range(6)]
    return [utterance(f"s{i % 2}", str(path)) for i, path in enumerate(paths)]


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


@pytest.fixture
def extracted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The samples of every signal whose features are computed."""
    calls: list[int] = []

    def spy(signal: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
        calls.append(len(signal))
        return extractor.extract(signal, config)

    monkeypatch.setattr(extraction, "extract", spy)
    return calls


def same(one: list[Recording], other: list[Recording]) -> bool:
    return len(one) == len(other) and all(
        a.utterance == b.utterance
        and len(a.versions) == len(b.versions)
        and all(torch.equal(x, y) for x, y in zip(a.versions, b.versions, strict=True))
        for a, b in zip(one, other, strict=True)
    )


def test_recordings_come_back_in_their_order(corpus: list[Utterance], cache: FeatureCache) -> None:
    seen: list[int] = []
    found, skipped = extract_all(corpus[::-1], SMALL, NO_COPIES, cache, workers=0, progress=seen.append)
    assert [r.utterance for r in found] == corpus[::-1]
    assert skipped == []
    assert seen == [1, 2, 3, 4, 5, 6]
    for recording in found:
        [version] = recording.versions
        assert version.shape == (31, extractor.dimension(SMALL))
        assert version.dtype == torch.float32


def test_a_second_run_extracts_nothing(corpus: list[Utterance], cache: FeatureCache, extracted: list[int]) -> None:
    augment = copies(2)
    first, _ = extract_all(corpus, SMALL, augment, cache, workers=0)
    assert len(extracted) == 18
    again, _ = extract_all(corpus, SMALL, augment, cache, workers=0)
    assert len(extracted) == 18
    assert same(first, again)
    more, _ = extract_all(corpus, SMALL, copies(3), cache, workers=0)
    assert len(extracted) == 24  # one more copy of each
    assert same(first, [Recording(utterance=r.utterance, versions=r.versions[:3]) for r in more])


def test_other_settings_bytes_or_stretches_are_extracted_anew(
    corpus: list[Utterance], cache: FeatureCache, extracted: list[int], tmp_path: Path
) -> None:
    def run(item: Utterance, config: FeatureConfig = SMALL) -> int:
        before = len(extracted)
        extract_all([item], config, NO_COPIES, cache, workers=0)
        return len(extracted) - before

    path = corpus[0].path
    assert run(corpus[0]) == 1
    moved = shutil.copy(path, tmp_path / "moved.wav")
    assert run(utterance("other", str(moved))) == 0  # named by its bytes, not by its place
    assert run(corpus[0], FeatureConfig(mfcc=5, stack=1)) == 1
    assert run(utterance("s", str(path), start=0.1)) == 1
    assert run(utterance("s", str(path), start=0.1, end=0.25)) == 1
    assert extracted[-1] == round(0.15 * RATE)
    tone(path, seed=99)
    assert run(corpus[0]) == 1


@pytest.mark.parametrize("damage", [lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b[: len(b) // 2], lambda b: b""])
def test_a_damaged_entry_is_rebuilt(
    corpus: list[Utterance], cache: FeatureCache, extracted: list[int], damage: Callable[[bytes], bytes]
) -> None:
    first, _ = extract_all(corpus, SMALL, NO_COPIES, cache, workers=0)
    entries = sorted(cache.directory.rglob("*.safetensors"))
    entries[2].write_bytes(damage(entries[2].read_bytes()))
    assert same(extract_all(corpus, SMALL, NO_COPIES, cache, workers=0)[0], first)
    assert same(extract_all(corpus, SMALL, NO_COPIES, cache, workers=0)[0], first)
    assert len(extracted) == 7


def test_results_do_not_depend_on_the_workers(corpus: list[Utterance], tmp_path: Path) -> None:
    bad = utterance("s0", str(tmp_path / "missing.wav"))
    runs = [extract_all([*corpus, bad], SMALL, copies(1), FeatureCache(tmp_path / str(n)), workers=n) for n in (0, 2)]
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert [item.name for item in runs[0][1]] == [bad.name]


def test_altered_copies_differ_and_repeat(corpus: list[Utterance], tmp_path: Path) -> None:
    augment = copies(3)
    first, other = (
        extract_all(corpus, SMALL, augment, FeatureCache(tmp_path / name), workers=0)[0] for name in ("a", "b")
    )
    assert same(first, other)
    assert len({version.numpy().tobytes() for r in first for version in r.versions}) == 4 * len(corpus)
    plain, _ = extract_all(corpus, SMALL, NO_COPIES, FeatureCache(tmp_path / "c"), workers=0)
    assert all(torch.equal(a.versions[0], b.versions[0]) for a, b in zip(first, plain, strict=True))


def test_bad_files_are_named_and_skipped(corpus: list[Utterance], cache: FeatureCache, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no audio")
    silent, short = tmp_path / "silent.wav", tone(tmp_path / "short.wav", seconds=0.05)
    soundfile.write(silent, np.zeros(RATE), RATE)
    bad = [utterance("s0", str(path)) for path in (text, silent, short, tmp_path / "missing.wav")]
    found, skipped = extract_all([bad[0], *corpus, *bad[1:]], SMALL, NO_COPIES, cache, workers=0)
    assert [r.utterance for r in found] == corpus
    assert [(Path(item.name).name, item.kind) for item in skipped] == [
        ("text.wav", "unreadable"),
        ("silent.wav", "silent"),
        ("short.wav", "short"),
        ("missing.wav", "unreadable"),
    ]
    assert all(item.detail and "\n" not in item.detail for item in skipped)


def test_a_stretch_beyond_the_end_is_skipped(corpus: list[Utterance], cache: FeatureCache) -> None:
    path = str(corpus[0].path)
    beyond = utterance("s0", path, start=0.2, end=9.0)
    found, skipped = extract_all([utterance("s0", path, end=0.2), beyond], SMALL, NO_COPIES, cache, workers=0)
    assert len(found) == 1
    assert [(item.name, item.kind) for item in skipped] == [(f"{path}#0.2-9", "truncated")]


@pytest.mark.parametrize("other", [{"emotion": "sadness"}, {"speaker": "s9"}])
def test_the_same_bytes_under_two_names_are_skipped(
    corpus: list[Utterance], cache: FeatureCache, tmp_path: Path, other: dict[str, str]
) -> None:
    copy = shutil.copy(corpus[0].path, tmp_path / "copy.wav")
    twice = utterance(**{"speaker": "s0", "name": str(copy), **other})
    found, skipped = extract_all([*corpus, twice], SMALL, NO_COPIES, cache, workers=0)
    assert [r.utterance for r in found] == corpus[1:]
    assert [item.name for item in skipped] == [corpus[0].name, twice.name]


def test_a_copy_under_one_label_and_speaker_is_kept(
    corpus: list[Utterance], cache: FeatureCache, tmp_path: Path
) -> None:
    copy = utterance("s0", str(shutil.copy(corpus[0].path, tmp_path / "copy.wav")))
    found, skipped = extract_all([*corpus, copy], SMALL, NO_COPIES, cache, workers=0)
    assert (len(found), skipped) == (7, [])


def matrix(path: Path, frames: int, width: int, seed: int = 0) -> str:
    np.save(path, np.random.default_rng(seed).normal(size=(frames, width)))
    return str(path)


def test_matrices_are_read_as_they_are(tmp_path: Path, cache: FeatureCache, extracted: list[int]) -> None:
    item = utterance("a", matrix(tmp_path / "x.npy", 1, 3))
    [recording], _ = extract_all([item], SMALL, copies(3), cache, workers=0)
    [version] = recording.versions
    assert version.dtype == torch.float32
    np.testing.assert_allclose(version, np.load(tmp_path / "x.npy"), rtol=1e-6)
    assert extracted == []
    assert not cache.directory.exists()


def test_matrices_of_an_odd_width_are_skipped_once(tmp_path: Path, cache: FeatureCache) -> None:
    items = [utterance("a", matrix(tmp_path / f"{i}.npy", 2, 3, seed=i)) for i in range(3)]
    items.append(utterance("a", matrix(tmp_path / "odd.npy", 2, 4)))
    items += [utterance(speaker, matrix(tmp_path / f"twice-{speaker}.npy", 2, 5)) for speaker in "ab"]
    found, skipped = extract_all(items, SMALL, NO_COPIES, cache, workers=0)
    assert [r.utterance for r in found] == items[:3]
    assert [Path(item.name).name for item in skipped] == ["twice-a.npy", "twice-b.npy", "odd.npy"]
    assert skipped[-1].detail == "4 features, most have 3"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_that_cannot_be_written_ends_the_job(corpus: list[Utterance], tmp_path: Path, workers: int) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FedserError, match="cannot be written") as refused:
        extract_all(corpus, SMALL, NO_COPIES, FeatureCache(tmp_path / "file"), workers=workers)
    assert "\n" not in str(refused.value)


def test_nothing_to_extract(cache: FeatureCache) -> None:
    assert extract_all([], SMALL, NO_COPIES, cache) == ([], [])


def test_the_shortest_sound_under_the_longest_windows(tmp_path: Path, cache: FeatureCache) -> None:
    item = utterance("a", str(tone(tmp_path / "x.wav", seconds=0.1)))
    config = FeatureConfig(windows=(5, 200), hop=100, stack=100)
    [recording], skipped = extract_all(
        [item], config, AugmentConfig(copies=4, speed=0.5, noise=(5.0, 20.0)), cache, workers=0
    )
    assert skipped == []
    for version in recording.versions:
        assert len(version) >= 1
        assert version.isfinite().all()


LONG = 0.2  # seconds that are used of a recording: 21 frames


def test_of_a_longer_recording_the_first_frames_are_used_and_no_more_is_read(
    corpus: list[Utterance], cache: FeatureCache, extracted: list[int], tmp_path: Path
) -> None:
    """Recordings of 0.3 s, whose whole features lie in the cache, and one of just as many frames as are used."""
    short = utterance("s0", str(tone(tmp_path / "short.wav", seconds=0.2099, seed=9)))
    whole, _ = extract_all([*corpus, short], SMALL, copies(1), cache, workers=0)
    extracted.clear()
    for _ in range(2):
        cut, _ = extract_all([*corpus, short], SMALL, copies(1), cache, workers=0, seconds=LONG)
    assert extracted == [3359, *extracted[1:]]  # a sample more would make a frame more
    assert len(extracted) == 2 * len(corpus)  # once each and its copy; of the short one nothing is computed anew
    assert [len(version) for r in cut for version in r.versions[:1]] == [21] * 7
    assert all(len(version) <= 21 for r in cut for version in r.versions)
    for mine, theirs in zip(cut, whole, strict=True):
        assert torch.allclose(mine.versions[0][:15], theirs.versions[0][:15], atol=1e-4)
    assert torch.equal(cut[-1].versions[0], whole[-1].versions[0])
    anew, _ = extract_all([*corpus, short], SMALL, copies(1), FeatureCache(tmp_path / "new"), workers=0, seconds=LONG)
    assert same(anew, cut)  # whatever the cache held
    assert same(extract_all([*corpus, short], SMALL, copies(1), cache, workers=0)[0], whole)


def test_of_a_longer_matrix_the_first_frames_are_used(tmp_path: Path, cache: FeatureCache) -> None:
    items = [utterance("a", matrix(tmp_path / f"{n}.npy", n, 3)) for n in (5, 21, 22, 4000)]
    found, skipped = extract_all(items, SMALL, NO_COPIES, cache, workers=0, seconds=LONG)
    assert [len(r.versions[0]) for r in found] == [5, 21, 21, 21]
    assert not skipped
    whole, _ = extract_all(items, SMALL, NO_COPIES, cache, workers=0)
    assert all(torch.equal(a.versions[0], b.versions[0][:21]) for a, b in zip(found, whole, strict=True))


def test_no_recording_ends_a_job_whose_recordings_are_bounded(
    corpus: list[Utterance], cache: FeatureCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody may see by a failure what a recording is like, one that nothing can be made of is skipped."""

    def extract(signal: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
        if len(signal) < 2500:
            raise MemoryError("such a signal was never thought of")
        return extractor.extract(signal, config)

    monkeypatch.setattr(extraction, "extract", extract)
    odd = utterance("s1", str(tone(tmp_path / "odd.wav", seconds=0.15, seed=9)))
    wide = utterance("s1", matrix(tmp_path / "wide.npy", 2, 20_000_000 // 100))
    found, skipped = extract_all([*corpus, odd], SMALL, NO_COPIES, cache, workers=0, seconds=LONG)
    assert [r.utterance for r in found] == corpus
    assert [(item.name, item.kind) for item in skipped] == [(odd.name, "unreadable")]
    with pytest.raises(MemoryError):
        extract_all([odd], SMALL, NO_COPIES, cache, workers=0)
    assert extract_all([wide], SMALL, NO_COPIES, cache, workers=0, seconds=LONG)[1][0].kind == "unreadable"
