"""From recordings to features: over all cores, through the cache, past the files that are broken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from common import audio, augment
from common.cache import FeatureCache, audio_digest, entry_key
from common.config import AugmentConfig, FeatureConfig
from common.errors import AudioError, CorpusError
from common.features import extract
from common.seeds import seed_of
from common.utterance import Utterance
from common.workers import end_with_parent

Versions = tuple[torch.Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An utterance with its features.

    Attributes:
        utterance: whose features they are.
        versions: each ``(frames, features)``; the first is the recording itself, the others are altered copies of it.
    """

    utterance: Utterance
    versions: Versions


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A recording that cannot be used, by ``Utterance.name``, and why; ``kind`` as in ``fedser corpus check``."""

    name: str
    kind: str
    detail: str


def extract_all(
    utterances: Sequence[Utterance],
    features: FeatureConfig,
    augmentation: AugmentConfig,
    cache: FeatureCache,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[Recording], list[Skipped]]:
    """Compute, or find in the cache, the features of all utterances.

    Args:
        utterances: in any order; the recordings come back in it.
        features: what to compute.
        augmentation: how many altered copies of each, and how they are altered.
        cache: where features are kept; each is written as soon as it is there.
        workers: processes; None for one a core, 0 for none beside this one.
        progress: called with the number of utterances done.

    Returns:
        The recordings, and those that were skipped.

    Raises:
        CorpusError: recordings of different feature widths, as when matrices and audio are mixed.
    """
    count = (os.cpu_count() or 1) if workers is None else workers
    jobs = [(utterance, features, augmentation, cache.directory) for utterance in utterances]
    recordings: list[Recording] = []
    skipped: list[Skipped] = []
    for done, (utterance, result) in enumerate(zip(utterances, _run(jobs, count), strict=True), 1):
        if isinstance(result, Skipped):
            skipped.append(result)
        else:
            recordings.append(Recording(utterance=utterance, versions=result))
        progress(done)
    _same_width(recordings)
    return recordings, skipped


def _run(jobs: Sequence[tuple[object, ...]], workers: int) -> Iterator[Versions | Skipped]:
    if workers == 0 or len(jobs) < 2:
        yield from map(_one, jobs)
        return
    with ProcessPoolExecutor(min(workers, len(jobs)), initializer=_start_worker) as pool:
        # Tensors come back as arrays: sent as tensors they would each hold a file descriptor open.
        for result in pool.map(_one_as_arrays, jobs, chunksize=4):
            yield result if isinstance(result, Skipped) else tuple(torch.from_numpy(array) for array in result)


def _start_worker() -> None:
    end_with_parent()
    torch.set_num_threads(1)


def _one_as_arrays(job: tuple[object, ...]) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...] | Skipped:
    result = _one(job)
    return result if isinstance(result, Skipped) else tuple(version.numpy() for version in result)


def _one(job: tuple[object, ...]) -> Versions | Skipped:
    utterance, features, augmentation, directory = job
    try:
        return versions_of(utterance, features, augmentation, FeatureCache(directory))  # type: ignore[arg-type]
    except AudioError as error:
        return Skipped(name=utterance.name, kind=error.kind, detail=error.detail)  # type: ignore[attr-defined]


def versions_of(
    utterance: Utterance, features: FeatureConfig, augmentation: AugmentConfig, cache: FeatureCache
) -> Versions:
    """The features of one utterance and of its altered copies, from the cache where they are there.

    Raises:
        AudioError: the recording cannot be used.
    """
    if utterance.path.suffix.lower() == ".npy":
        return (read_matrix(utterance),)
    try:
        digest = audio_digest(utterance)
    except OSError as error:
        raise AudioError("unreadable", error.strerror or "cannot be opened") from None
    signal: torch.Tensor | None = None
    versions = []
    for version in range(1 + augmentation.copies):
        key = entry_key(digest, version, features, augmentation)
        found = cache.load(key)
        if found is None:
            if signal is None:
                signal = audio.load(utterance.path, features.sampling_rate, utterance.start, utterance.end)
            altered = augment.alter(signal, features.sampling_rate, augmentation, seed_of(digest, version))
            found = extract(altered if version else signal, features)
            cache.store(key, found)
        versions.append(found)
    return tuple(versions)


def read_matrix(utterance: Utterance) -> torch.Tensor:
    """A precomputed feature matrix ``(frames, features)``, float32.

    Raises:
        AudioError: it cannot be read, or is no finite matrix of numbers.
    """
    try:
        matrix = np.load(utterance.path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise AudioError("unreadable", "not readable as a .npy array of numbers") from None
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or 0 in matrix.shape or matrix.dtype.kind not in "fiu":
        shape = getattr(matrix, "shape", None)
        raise AudioError("unreadable", f"a .npy of shape {shape}, expected numbers of shape (frames, features)")
    if not np.isfinite(matrix).all():
        raise AudioError("non-finite", f"{int((~np.isfinite(matrix)).sum())} values are not finite numbers")
    return torch.from_numpy(matrix.astype(np.float32))


def _same_width(recordings: Sequence[Recording]) -> None:
    widths = {recording.versions[0].shape[1]: recording.utterance.path for recording in reversed(recordings)}
    if len(widths) > 1:
        (a, path_a), (b, path_b) = list(widths.items())[:2]
        raise CorpusError(
            f"feature matrices of different widths: {path_a} has {a} features, {path_b} has {b}; expected the same "
            "everywhere"
        )
