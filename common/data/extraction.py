"""From recordings to features: over all cores, through the cache, past the files that are broken."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from common.audio import augment, reading
from common.audio.matrix import read_matrix
from common.config.settings import AugmentConfig, FeatureConfig
from common.curation.contents import sounds_of
from common.curation.probe import contents_of, digest_of, files_of_several, hashed
from common.curation.problems import same_bytes, usual_width
from common.errors import AudioError, FedserError
from common.features.cache import FeatureCache, entry_key
from common.features.front_end import extract, most_rows, most_samples
from common.processes.cores import usable_cores
from common.processes.pool import processes
from common.seeds import seed_of
from common.utterance import Utterance

log = logging.getLogger("fedser.data")

Versions = tuple[torch.Tensor, ...]
_Sent = tuple[str, list[npt.NDArray[np.float32]]]  # the digest of the bytes, the versions


class _Job(NamedTuple):
    """A recording to extract, as a worker gets it; see ``extract_each`` for its parts."""

    utterance: Utterance
    features: FeatureConfig
    augmentation: AugmentConfig
    cache: FeatureCache
    seconds: float


_Hashed = tuple[_Job, str | None]  # with its file's hash, where it is known already


@dataclass(frozen=True, kw_only=True)
class Recording:
    """An utterance with its features.

    Attributes:
        utterance: whose features they are.
        versions: each ``(frames, features)``; the first is the recording itself, the others are altered copies of it.
        digest: names its bytes and the stretch of them, as ``common.curation.probe.digest_of``.
    """

    utterance: Utterance
    versions: Versions
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A recording that cannot be used, and why.

    Attributes:
        name: its ``Utterance.name``.
        kind: as in ``fedser corpus check``.
        detail: what was found.
        digest: as ``Recording.digest``; empty where the bytes cannot be read.
        alone: whether its speaker's recordings alone show it; otherwise it is for those of others.
    """

    name: str
    kind: str
    detail: str
    digest: str = ""
    alone: bool = True


Found = Recording | Skipped


def extract_all(
    utterances: Sequence[Utterance],
    features: FeatureConfig,
    augmentation: AugmentConfig,
    cache: FeatureCache,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
    seconds: float = math.inf,
) -> tuple[list[Recording], list[Skipped]]:
    """As ``extract_each``, and cleaned as a whole by ``clean``."""
    found = extract_each(utterances, features, augmentation, cache, workers=workers, progress=progress, seconds=seconds)
    return clean(found)


def extract_each(
    utterances: Sequence[Utterance],
    features: FeatureConfig,
    augmentation: AugmentConfig,
    cache: FeatureCache,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
    seconds: float = math.inf,
) -> list[Found]:
    """Compute, or find in the cache, the features of all utterances, each by looking at it alone.

    Args:
        utterances: in any order; what is found comes back in it.
        features: what to compute.
        augmentation: how many altered copies of each, and how they are altered.
        cache: where features are kept; each is written as soon as it is there.
        workers: processes; None for one a core, 0 for none beside this one.
        progress: called with the number of utterances done.
        seconds: of a recording that are used, the first ones. Of a matrix, as many frames as such a recording has. With
            such a bound no recording ends the job, whatever is wrong with it.

    Raises:
        FedserError: a worker process was killed, or the cache cannot be written.
    """
    count = usable_cores() if workers is None else workers
    jobs = [_Job(utterance, features, augmentation, cache, seconds) for utterance in utterances]
    found: list[Found] = []
    for done, (utterance, result) in enumerate(zip(utterances, _run(jobs, count), strict=True), 1):
        if isinstance(result, Skipped):
            found.append(result)
        else:
            digest, arrays = result
            versions = tuple(torch.from_numpy(array) for array in arrays)
            found.append(Recording(utterance=utterance, versions=versions, digest=digest))
        progress(done)
    return found


def clean(found: Sequence[Found]) -> tuple[list[Recording], list[Skipped]]:
    """The recordings that can be used among all of these, and the others.

    Those are broken ones, those whose bytes stand under two labels or two speakers, and matrices of another width than
    most: whether one can be used hangs on the others, so that a private run must not clean those of several units so
    (see ``common.data.places``).
    """
    whole = [item for item in found if isinstance(item, Recording)]
    contradictory = _contradictory(whole)
    trusted = _without(whole, contradictory)
    odd = _odd_widths(trusted)
    return _without(trusted, odd), [*(item for item in found if isinstance(item, Skipped)), *contradictory, *odd]


def _without(found: Sequence[Recording], bad: Sequence[Skipped]) -> list[Recording]:
    names = {item.name for item in bad}
    return [recording for recording in found if recording.utterance.name not in names]


def _contradictory(found: Sequence[Recording]) -> list[Skipped]:
    """The same bytes under two labels or two speakers: none of them can be trusted."""
    untrusted, problems = same_bytes([(recording.utterance, recording.digest) for recording in found])
    kinds = {problem.path: problem.kind for problem in problems if problem.kind != "duplicate"}
    own = sounds_of([(item.utterance, item.digest) for item in found], [item.utterance.speaker for item in found])
    labels: dict[Hashable, set[str]] = {}
    for item, content in zip(found, own, strict=True):
        labels.setdefault(content, set()).add(item.utterance.emotion)
    return [
        Skipped(
            name=item.utterance.name,
            kind=kinds[str(item.utterance.path)],
            detail="the same bytes under two labels or speakers",
            digest=item.digest,
            alone=len(labels[content]) > 1,
        )
        for item, content in ((found[i], own[i]) for i in sorted(untrusted))
    ]


def _odd_widths(found: Sequence[Recording]) -> list[Skipped]:
    """Feature matrices of another width than most."""
    usual = usual_width(recording.versions[0].shape[1] for recording in found)
    return [
        Skipped(
            name=item.utterance.name,
            kind="mixed",
            detail=f"{item.versions[0].shape[1]} features, most have {usual}",
            digest=item.digest,
            alone=False,
        )
        for item in found
        if item.versions[0].shape[1] != usual
    ]


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[_Sent | Skipped]:
    utterances = [job.utterance for job in jobs]
    shared = files_of_several(utterances)
    if workers == 0 or len(jobs) < 2:
        yield from map(_one, zip(jobs, contents_of(utterances, dict(map(hashed, shared))), strict=True))
        return
    killed = FedserError("a process that extracts features was killed, perhaps for want of memory")
    with processes(min(workers, len(jobs)), killed) as pool:
        known = contents_of(utterances, dict(pool.map(hashed, shared)))
        yield from pool.map(_one, zip(jobs, known, strict=True), chunksize=4)


def _one(given: _Hashed) -> _Sent | Skipped:
    job, content = given
    utterance, digest = job.utterance, ""
    try:
        digest = digest_of(utterance, content)
        # Sent as tensors they would each hold a file descriptor open.
        return digest, [version.numpy() for version in versions_of(digest, *job)]
    except AudioError as error:
        return Skipped(name=utterance.name, kind=error.kind, detail=error.detail, digest=digest)
    except FedserError:  # of the machine: a full disk
        raise
    except Exception:
        if math.isinf(job.seconds):  # nobody is hidden, so whoever started the run should see it
            raise
        log.exception("%s", utterance.name)
        return Skipped(name=utterance.name, kind="unreadable", detail="its features cannot be computed", digest=digest)


def versions_of(
    digest: str,
    utterance: Utterance,
    features: FeatureConfig,
    augmentation: AugmentConfig,
    cache: FeatureCache,
    seconds: float = math.inf,
) -> Versions:
    """The features of one utterance and of its altered copies, from the cache where they are there.

    Of a recording that is longer than ``seconds`` nothing more is read, and no more frames are in memory.

    Raises:
        AudioError: the recording cannot be used.
    """
    most = most_rows(features, seconds)
    if utterance.is_matrix:
        return (torch.from_numpy(read_matrix(utterance.path, most)),)
    source = _Source(utterance, features, most_samples(features, seconds))
    # One row an utterance does not tell whether it is of the whole.
    unknown = features.encoder.pooled and not math.isinf(seconds)
    whole = None if unknown else cache.load(entry_key(digest, 0, features, augmentation), most)
    cut = most if whole is None and source.is_cut(cache, digest, augmentation, most) else None
    cut = source.most if unknown else cut
    versions = []
    for version in range(1 + augmentation.copies):
        key = entry_key(digest, version, features, augmentation, cut)
        entry = cache.load(key) if version or whole is None else whole
        if entry is None:
            entry = extract(_version(source.signal, version, digest, features, augmentation), features)
            cache.store(key, entry)
        versions.append(entry[:most])
    return tuple(versions)


class _Source:
    """A recording's sound, read when it is needed.

    Args:
        utterance: the recording.
        features: what will be computed of it.
        most: samples that are used of it; None for all.
    """

    def __init__(self, utterance: Utterance, features: FeatureConfig, most: int | None) -> None:
        self._utterance, self._features, self.most = utterance, features, most

    @functools.cached_property
    def signal(self) -> torch.Tensor:
        """As much of it as is used."""
        rate, own = self._features.sampling_rate, self._utterance
        most = math.inf if self.most is None else self.most / rate
        return reading.load(own.path, rate, own.start, own.end, most, own.channel)[: self.most]

    def is_cut(self, cache: FeatureCache, digest: str, augmentation: AugmentConfig, rows: int | None) -> bool:
        """Whether it is longer than what is used, so many rows; one that was cut before is not read again for it."""
        if self.most is None:
            return False
        before = cache.load(entry_key(digest, 0, self._features, augmentation, rows))
        return before is not None or len(self.signal) == self.most


def _version(
    signal: torch.Tensor, version: int, digest: str, features: FeatureConfig, augmentation: AugmentConfig
) -> torch.Tensor:
    if version == 0:
        return signal
    return augment.alter(signal, features.sampling_rate, augmentation, seed_of(digest, version))
