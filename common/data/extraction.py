"""From recordings to features: over all cores, through the cache, past the files that are broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from common.audio import augment, reading
from common.audio.matrix import read_matrix
from common.config.settings import AugmentConfig, FeatureConfig
from common.curation.probe import contents_of, digest_of, files_of_several, hashed
from common.curation.problems import same_bytes, usual_width
from common.errors import AudioError, FedserError
from common.features.cache import FeatureCache, entry_key
from common.features.extractor import extract
from common.processes.cores import usable_cores
from common.processes.pool import processes
from common.seeds import seed_of
from common.utterance import Utterance

Versions = tuple[torch.Tensor, ...]
_Job = tuple[Utterance, FeatureConfig, AugmentConfig, FeatureCache]
_Hashed = tuple[_Job, str | None]  # with its file's hash, where it is known already
_Found = tuple[str, list[npt.NDArray[np.float32]]]  # the digest of the bytes, the versions


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An utterance with its features.

    Attributes:
        utterance: whose features they are.
        versions: each ``(frames, features)``; the first is the recording itself, the others are altered copies of it.
        digest: names its bytes, as ``common.curation.probe.digest_of`` does.
    """

    utterance: Utterance
    versions: Versions
    digest: str = ""


_Digested = tuple[Recording, str]  # with the digest of its bytes


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
        The recordings, and those that were skipped: broken ones, those whose bytes stand under two labels or two
        speakers, and matrices of another width than most.

    Raises:
        FedserError: a worker process was killed, or the cache cannot be written.
    """
    count = usable_cores() if workers is None else workers
    jobs = [(utterance, features, augmentation, cache) for utterance in utterances]
    found: list[_Digested] = []
    skipped: list[Skipped] = []
    for done, (utterance, result) in enumerate(zip(utterances, _run(jobs, count), strict=True), 1):
        if isinstance(result, Skipped):
            skipped.append(result)
        else:
            digest, arrays = result
            versions = tuple(torch.from_numpy(array) for array in arrays)
            found.append((Recording(utterance=utterance, versions=versions, digest=digest), digest))
        progress(done)
    contradictory = _contradictory(found)
    trusted = _without(found, contradictory)
    odd = _odd_widths(trusted)
    return [recording for recording, _ in _without(trusted, odd)], [*skipped, *contradictory, *odd]


def _without(found: Sequence[_Digested], bad: Sequence[Skipped]) -> list[_Digested]:
    names = {item.name for item in bad}
    return [pair for pair in found if pair[0].utterance.name not in names]


def _contradictory(found: Sequence[_Digested]) -> list[Skipped]:
    """The same bytes under two labels or two speakers: none of them can be trusted."""
    untrusted, problems = same_bytes([(recording.utterance, digest) for recording, digest in found])
    kinds = {problem.path: problem.kind for problem in problems if problem.kind != "duplicate"}
    items = [found[i][0].utterance for i in sorted(untrusted)]
    detail = "the same bytes under two labels or speakers"
    return [Skipped(name=item.name, kind=kinds[str(item.path)], detail=detail) for item in items]


def _odd_widths(found: Sequence[_Digested]) -> list[Skipped]:
    """Feature matrices of another width than most."""
    usual = usual_width(recording.versions[0].shape[1] for recording, _ in found)
    return [
        Skipped(name=r.utterance.name, kind="mixed", detail=f"{r.versions[0].shape[1]} features, most have {usual}")
        for r, _ in found
        if r.versions[0].shape[1] != usual
    ]


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[_Found | Skipped]:
    utterances = [job[0] for job in jobs]
    shared = files_of_several(utterances)
    if workers == 0 or len(jobs) < 2:
        yield from map(_one, zip(jobs, contents_of(utterances, dict(map(hashed, shared))), strict=True))
        return
    killed = FedserError("a process that extracts features was killed, perhaps for want of memory")
    with processes(min(workers, len(jobs)), killed) as pool:
        known = contents_of(utterances, dict(pool.map(hashed, shared)))
        yield from pool.map(_one, zip(jobs, known, strict=True), chunksize=4)


def _one(given: _Hashed) -> _Found | Skipped:
    job, content = given
    utterance = job[0]
    try:
        digest = digest_of(utterance, content)
        # Sent as tensors they would each hold a file descriptor open.
        return digest, [version.numpy() for version in versions_of(digest, *job)]
    except AudioError as error:
        return Skipped(name=utterance.name, kind=error.kind, detail=error.detail)


def versions_of(
    digest: str, utterance: Utterance, features: FeatureConfig, augmentation: AugmentConfig, cache: FeatureCache
) -> Versions:
    """The features of one utterance and of its altered copies, from the cache where they are there.

    Raises:
        AudioError: the recording cannot be used.
    """
    if utterance.path.suffix.lower() == ".npy":
        return (torch.from_numpy(read_matrix(utterance.path)),)
    signal: torch.Tensor | None = None
    versions = []
    for version in range(1 + augmentation.copies):
        key = entry_key(digest, version, features, augmentation)
        entry = cache.load(key)
        if entry is None:
            if signal is None:
                place = (utterance.start, utterance.end)
                signal = reading.load(utterance.path, features.sampling_rate, *place, channel=utterance.channel)
            entry = extract(_version(signal, version, digest, features, augmentation), features)
            cache.store(key, entry)
        versions.append(entry)
    return tuple(versions)


def _version(
    signal: torch.Tensor, version: int, digest: str, features: FeatureConfig, augmentation: AugmentConfig
) -> torch.Tensor:
    if version == 0:
        return signal
    return augment.alter(signal, features.sampling_rate, augmentation, seed_of(digest, version))
