"""A process that hears the streams that are given to it: the sound goes in, messages come back, in batches."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from common.errors import FedserError
from common.processes.parent_watch import end_with_parent
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.listener import Listener
from recogniser.listening.run_export import open_model
from recogniser.service.kept_scores import KeptScores
from recogniser.service.live_stream import Message, Portion
from recogniser.service.scoring import Heard, hear_together
from recogniser.service.stream_request import StreamRequest
from recogniser.sound.gates import open_gate

_LOG = logging.getLogger(__name__)
_STARTS = 60.0  # seconds that a process may take to start
_ENDS = 5.0  # and to end

Failed = tuple[list[bytes], int, bool]  # messages, windows that were skipped, whether the listener broke


@dataclass(frozen=True, kw_only=True)
class Part:
    """A portion of one stream.

    Attributes:
        number: of the stream.
        request: what it asked for, with its first portion; None later.
        portion: what is heard next.
    """

    number: int
    request: StreamRequest | None
    portion: Portion


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a process is given at once.

    Attributes:
        parts: a portion each of some streams.
        gone: the numbers of streams that have ended.
    """

    parts: Sequence[Part]
    gone: Sequence[int]


class HearingProcess:
    """One of them; it ends with this process, however that ends.

    Args:
        model: where it lies, an export or a run.
        kept: where scores are kept; None for nowhere.
    """

    def __init__(self, model: Path, kept: Path | None) -> None:
        context = multiprocessing.get_context("spawn")  # a copy of this one would hold its sockets
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_hear, args=(theirs, model, kept), name="fedser hearing", daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_ready(self) -> None:
        """Wait until it has loaded what it needs.

        Raises:
            FedserError: it does not start.
        """
        ready = False
        with suppress(EOFError, OSError):
            ready = self._ours.poll(_STARTS) and self._ours.recv()
        if not ready:
            self.end()
            raise FedserError("a worker process does not start; serve without --workers, or look above for why")

    @property
    def pid(self) -> int | None:
        """Its number."""
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """What can be read from once it ends, a moment before anybody can ask for its exit status."""
        return self._process.sentinel

    def hear(self, batch: Batch) -> list[Heard]:
        """What is heard in a batch's parts.

        Raises:
            EOFError, OSError: the process is gone.
        """
        self._ours.send(batch)
        found: list[Failed] = self._ours.recv()
        return [
            Heard(messages=[Message.FromString(each) for each in messages], skipped=skipped, failed=failed)
            for messages, skipped, failed in found
        ]

    def end(self) -> None:
        """Let it end, or end it."""
        self._ours.close()
        self._process.join(_ENDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _hear(connection: Connection, folder: Path, kept: Path | None) -> None:
    """What the process does, until nobody gives it anything."""
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a service's parent tells it when it is to end
    model = open_model(folder)
    scores = KeptScores(kept, model) if kept else None
    open_gate("silero")
    connection.send(True)
    listeners: dict[int, Listener] = {}
    with suppress(EOFError, OSError):
        while True:
            batch: Batch = connection.recv()
            for number in batch.gone:
                listeners.pop(number, None)
            connection.send(_heard(model, listeners, batch, scores))


def _heard(model: ExportedModel, listeners: dict[int, Listener], batch: Batch, kept: KeptScores | None) -> list[Failed]:
    try:
        for part in batch.parts:
            if part.request:
                listeners[part.number] = part.request.listener(model)
        found = hear_together(model, [(listeners[part.number], part.portion) for part in batch.parts], kept)
    except Exception:
        _LOG.exception("streams cannot be heard")
        found = [Heard(failed=True) for _ in batch.parts]
    return [([each.SerializeToString() for each in own.messages], own.skipped, own.failed) for own in found]
