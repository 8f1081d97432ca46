"""Reading each file once, over all cores, to see whether it can be used."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.audio import reading
from common.audio.decoding import decode
from common.audio.matrix import read_matrix
from common.errors import AudioError, CorpusError
from common.processes.cores import usable_cores
from common.processes.parent_watch import end_with_parent
from common.processes.pool import processes
from common.utterance import Utterance

_FILES_PER_WORKER = 50  # fewer are read sooner than another process is there


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What reading one utterance showed.

    Attributes:
        digest: names the bytes and the part of them; empty where they cannot be read.
        seconds: how long it is; 0 for a feature matrix.
        rate: its sampling rate in Hz; None for a feature matrix.
        width: features a frame; 0 for audio.
        faults: (kind, detail), at most one that makes it unusable.
    """

    digest: str = ""
    seconds: float = 0.0
    rate: int | None = None
    width: int = 0
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it can be trained on: clipped audio can."""
        return all(kind in reading.WARNINGS for kind, _ in self.faults)


def read_all(utterances: Sequence[Utterance], workers: int | None) -> Iterator[Reading]:
    """Read utterances, one after the other as they are asked for, in their order.

    Args:
        utterances: recordings or feature matrices.
        workers: processes; None for up to one a core, 0 for none beside this one.

    Raises:
        CorpusError: a worker process died.
    """
    wanted = usable_cores() if workers is None else workers
    count = min(wanted, len(utterances) // _FILES_PER_WORKER)
    shared = files_of_several(utterances)
    if count < 2:
        yield from map(read, utterances, contents_of(utterances, dict(map(hashed, shared))))
        return
    killed = CorpusError("a process that read recordings was killed, perhaps for want of memory")
    with processes(count, killed, start=end_with_parent) as pool:
        known = contents_of(utterances, dict(pool.map(hashed, shared)))
        yield from pool.map(read, utterances, known, chunksize=8)


def read(utterance: Utterance, content: str | None = None) -> Reading:
    """Read one utterance, audio or matrix, and say what is wrong with it; never raises for a broken file.

    Args:
        utterance: the one.
        content: its file's hash, where that is known already.
    """
    try:
        digest = digest_of(utterance, content)
        if utterance.is_matrix:
            return Reading(digest=digest, width=read_matrix(utterance.path).shape[1])
        sound = decode(utterance.path, utterance.start, utterance.end, utterance.channel)
    except AudioError as error:
        return Reading(faults=((error.kind, error.detail),))
    found = (*sound.remarks, *reading.faults(sound.signal, sound.rate))
    faults = tuple((fault.kind, fault.detail) for fault in found)
    return Reading(digest=digest, seconds=len(sound.signal) / sound.rate, rate=sound.rate, faults=faults)


def digest_of(utterance: Utterance, content: str | None = None) -> str:
    """A name for the file's bytes and the part of them that the utterance is.

    Args:
        utterance: the one.
        content: its file's hash, where that is known already.

    Raises:
        AudioError: ``unreadable``.
    """
    channel = "" if utterance.channel is None else f" channel {utterance.channel}"
    return f"{content or file_digest(utterance.path)} {utterance.start} {utterance.end}{channel}"


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes.

    Raises:
        AudioError: ``unreadable``.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AudioError("unreadable", (error.strerror or "cannot be opened").lower()) from None
    except ValueError as error:  # a NUL character
        raise AudioError("unreadable", f"its name is no path ({error})") from None


def files_of_several(utterances: Sequence[Utterance]) -> list[Path]:
    """The files that several utterances are parts of: each is hashed once, for it may be hours long."""
    return [path for path, count in Counter(utterance.path for utterance in utterances).items() if count > 1]


def hashed(path: Path) -> tuple[Path, str | None]:
    """A file with its hash; None where it cannot be read, which reading each utterance says."""
    try:
        return path, file_digest(path)
    except AudioError:
        return path, None


def contents_of(utterances: Sequence[Utterance], known: Mapping[Path, str | None]) -> list[str | None]:
    """Each utterance's file's hash, where it is known."""
    return [known.get(utterance.path) for utterance in utterances]
