"""Reading each file once, over all cores, to see whether it can be used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common.audio import reading
from common.audio.matrix import read_matrix
from common.errors import AudioError, CorpusError
from common.processes.parent_watch import end_with_parent
from common.processes.pool import processes
from common.utterance import Utterance

_FILES_PER_WORKER = 50  # fewer are read sooner than another process is there


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What reading one utterance showed.

    Attributes:
        digest: names the bytes and the stretch of them; empty where they cannot be read.
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
        return all(kind == "clipped" for kind, _ in self.faults)


def read_all(utterances: Sequence[Utterance], workers: int | None) -> Iterator[Reading]:
    """Read utterances, one after the other as they are asked for, in their order.

    Args:
        utterances: recordings or feature matrices.
        workers: processes; None for up to one a core, 0 for none beside this one.

    Raises:
        CorpusError: a worker process died.
    """
    wanted = (os.cpu_count() or 1) if workers is None else workers
    count = min(wanted, len(utterances) // _FILES_PER_WORKER)
    if count < 2:
        yield from map(read, utterances)
        return
    killed = CorpusError("a process that read recordings was killed, perhaps for want of memory")
    with processes(count, killed, start=end_with_parent) as pool:
        yield from pool.map(read, utterances, chunksize=8)


def read(utterance: Utterance) -> Reading:
    """Read one utterance, audio or matrix, and say what is wrong with it; never raises for a broken file."""
    try:
        digest = digest_of(utterance)
        if utterance.path.suffix.lower() == ".npy":
            return Reading(digest=digest, width=read_matrix(utterance.path).shape[1])
        signal, rate = reading.read(utterance.path, utterance.start, utterance.end)
    except AudioError as error:
        return Reading(faults=((error.kind, error.detail),))
    faults = tuple((fault.kind, fault.detail) for fault in reading.faults(signal, rate))
    return Reading(digest=digest, seconds=len(signal) / rate, rate=rate, faults=faults)


def digest_of(utterance: Utterance) -> str:
    """A name for the file's bytes and the stretch of them that the utterance is.

    Raises:
        AudioError: ``unreadable``.
    """
    try:
        with utterance.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AudioError("unreadable", (error.strerror or "cannot be opened").lower()) from None
    except ValueError as error:  # a NUL character
        raise AudioError("unreadable", f"its name is no path ({error})") from None
    return f"{digest} {utterance.start} {utterance.end}"
