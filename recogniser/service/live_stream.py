"""One stream of a service: the sound that waits to be heard, and what is to be told.

It belongs to the event loop; a portion of it is heard in another thread, one at a time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from time import monotonic

import grpc
import numpy as np

from recogniser.listening.exported_model import ExportedModel
from recogniser.service import emotion_pb2 as proto
from recogniser.service.refused_stream import RefusedStream
from recogniser.service.stream_limits import StreamLimits
from recogniser.service.stream_request import StreamRequest
from recogniser.sound.pcm import Block

_PORTION = 0.5  # seconds of sound that are heard at once, at most: nobody waits for a neighbour's minute
_MOST_UNTOLD = 256  # messages that a client has not taken; with more, its sound waits

Message = proto.StreamingRecognizeResponse


@dataclass(frozen=True, kw_only=True)
class Portion:
    """What of a stream is heard next.

    Attributes:
        block: samples ``(samples, channels)``.
        last: whether nothing follows.
        windows: whether its growing segments are scored.
        waiting: seconds of sound that wait, this among them.
    """

    block: Block
    last: bool
    windows: bool
    waiting: float


class LiveStream:
    """A client's sound.

    Args:
        model: that listens.
        request: what was asked for.
        limits: of the sound that waits.
        wake: called when there is something to be heard.
    """

    def __init__(
        self, model: ExportedModel, request: StreamRequest, limits: StreamLimits, wake: Callable[[], None]
    ) -> None:
        self.request, self.listener = request, request.listener(model)
        self._limits, self._wake = limits, wake
        self._waiting: deque[tuple[float, Block]] = deque()  # when it came, and the samples
        self._samples = self._taken = 0  # that came, and that were taken to be heard
        self._closed = self._over = False
        self._ending: RefusedStream | None = None
        self._untold: deque[Message] = deque()
        self._news, self._room = asyncio.Event(), asyncio.Event()

    async def put(self, block: Block) -> None:
        """Take in samples ``(samples, channels)``; waits while too many wait.

        Raises:
            RefusedStream: OUT_OF_RANGE: the stream is longer than it may be.
        """
        most = round(self._limits.seconds * self.request.rate)
        kept = block[: max(0, most - self._samples)]
        if len(kept) and not self._closed:
            self._waiting.append((monotonic(), kept))
            self._samples += len(kept)
            self._wake()
        if len(kept) < len(block):
            raise RefusedStream(
                grpc.StatusCode.OUT_OF_RANGE,
                f"a stream has {self._limits.seconds:g} seconds at most here; begin another",
            )
        while self._seconds_waiting > self._limits.most_waiting and not self._over:
            self._room.clear()
            await self._room.wait()

    def may_wait(self, block: Block) -> bool:
        """Whether these samples may have to wait in ``put``."""
        return self._seconds_waiting + len(block) / self.request.rate > self._limits.waiting

    @property
    def _seconds_waiting(self) -> float:
        return (self._samples - self._taken) / self.request.rate

    def close(self, ending: RefusedStream | None = None) -> None:
        """Nothing follows; what has come in is heard and told, and then the ending."""
        if not self._closed:
            self._closed, self._ending = True, ending and ending.again()
            self._wake()

    def fail(self, ending: RefusedStream) -> None:
        """End it without telling what is left."""
        self._closed = self._over = True
        self._ending = ending
        self._waiting.clear()
        self._untold.clear()
        self._news.set()
        self._room.set()

    def take(self) -> Portion | None:
        """What is to be heard next; None for nothing."""
        if self._over or not (self._waiting or self._closed):
            return None
        if self._waiting and monotonic() - self._waiting[0][0] > self._limits.most_waiting:
            self.fail(too_late(self._limits.most_waiting))
            return None
        if len(self._untold) > _MOST_UNTOLD:
            return None
        waiting = self._seconds_waiting
        block = self._next_block()
        windows = self.request.windows and waiting <= self._limits.waiting
        self._room.set()
        return Portion(block=block, last=self._closed and not self._waiting, windows=windows, waiting=waiting)

    def _next_block(self) -> Block:
        most, parts = round(_PORTION * self.request.rate), [np.zeros((0, self.request.channels), np.float32)]
        while self._waiting and most:
            came, block = self._waiting.popleft()
            if len(block) > most:
                self._waiting.appendleft((came, block[most:]))
            parts.append(block[:most])
            most -= len(parts[-1])
        found = parts[1] if len(parts) == 2 else np.concatenate(parts)
        self._taken += len(found)
        return found

    def tell(self, portion: Portion, messages: list[Message], skipped: int) -> None:
        """Take what was heard in a portion, of whose windows so many were skipped."""
        if self._over:
            return
        if portion.waiting > self._limits.waiting:
            self._add(Message(lag=proto.Lag(waiting=portion.waiting, skipped=skipped if self.request.windows else 0)))
        for message in messages:
            if self._ending is None or not message.HasField("done"):
                self._add(message)
        self._over = portion.last
        if self._untold or self._over:
            self._news.set()
        self._room.set()

    def _add(self, message: Message) -> None:
        message.audio_processed = self._taken / self.request.rate
        self._untold.append(message)

    async def messages(self) -> AsyncIterator[Message]:
        """What is told, as it comes, to the end.

        Raises:
            RefusedStream: at the end, where it was another than the client's own.
        """
        while True:
            while self._untold:
                yield self._untold.popleft()
            if self._over:
                break
            self._wake()
            self._news.clear()
            await self._news.wait()
        if self._ending:
            raise self._ending.again()


def too_late(seconds: float) -> RefusedStream:
    """The end of a stream that is not heard, or whose client does not listen, for so long."""
    return RefusedStream(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        f"sound waited for more than {seconds:g} s: it comes faster than this machine hears it, or what is told is not "
        "taken; try again later, or ask for a longer hop",
    )
