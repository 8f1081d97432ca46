"""The streams of a service, however they come: each admitted, read, heard and answered.

What carries them, gRPC or a WebSocket, gives their messages as those of the proto, and is given what is told likewise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import grpc

from recogniser.listening.exported_model import ExportedModel
from recogniser.monitoring.service_figures import ServiceFigures, StreamFigures
from recogniser.service import emotion_pb2 as proto
from recogniser.service.kept_scores import KeptScores
from recogniser.service.live_stream import LiveStream, Message, too_late
from recogniser.service.refused_stream import RefusedStream, invalid
from recogniser.service.scoring import Scoring
from recogniser.service.stream_limits import StreamLimits
from recogniser.service.stream_request import StreamRequest

_FAR = float("inf")

Requests = AsyncIterator[proto.StreamingRecognizeRequest]


class Hearing(Protocol):
    """What hears the streams of a service: a thread, or processes.

    Attributes:
        streams: that are heard.
    """

    streams: set[LiveStream]

    def wake(self) -> None:
        """Say that there is something to be heard."""

    def end(self) -> None:
        """Let go of what hears."""

    async def run(self) -> None:
        """Hear what comes, for ever."""


class OpenStreams:
    """What all ways into a service share.

    Args:
        model: that listens.
        limits: of all streams and of each.
        kept: where scores are kept; None for nowhere.
        scoring: what hears them; by default a thread.
    """

    def __init__(
        self,
        model: ExportedModel,
        limits: StreamLimits,
        kept: KeptScores | None = None,
        scoring: Hearing | None = None,
    ) -> None:
        self.model, self.limits, self.kept = model, limits, kept
        self.scoring: Hearing = scoring or Scoring(model, kept)
        self.figures = ServiceFigures()
        self.when_draining: list[Callable[[], Awaitable[None]]] = []  # whom each way into it has to tell
        self._open = 0
        self._draining: RefusedStream | None = None

    @property
    def ready(self) -> bool:
        """Whether a stream that comes now would be served, if there is room."""
        return self._draining is None

    async def serve(self, requests: Requests, write: Callable[[Message], Awaitable[None]]) -> None:
        """Hear live sound: a config, then sound, to its end.

        Args:
            requests: the client's messages.
            write: called with what is told, each.

        Raises:
            RefusedStream: why it ended, where that was not the client's own end.
        """
        with self.admitted():
            stream = self._stream(await self._config(requests), self.limits)
            told = StreamFigures(self.figures, stream.request.rate)
            with self._heard(stream):
                reading = asyncio.create_task(self._read(requests, stream, told))
                try:
                    async for message in stream.messages():
                        async with asyncio.timeout(self.limits.most_waiting):
                            await write(message)
                        told.told(message.WhichOneof("event"), message.audio_processed)
                except TimeoutError:
                    raise too_late(self.limits.most_waiting) from None
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)

    async def recognise(self, request: proto.RecognizeRequest) -> proto.RecognizeResponse:
        """Hear sound that is there already.

        Raises:
            RefusedStream: why it is not heard.
        """
        config = proto.StreamingConfig()
        config.CopyFrom(request.config)
        config.interim_results = False
        answer = proto.RecognizeResponse()
        with self.admitted():
            patient = StreamLimits(seconds=self.limits.seconds, waiting=_FAR, most_waiting=_FAR)
            stream = self._stream(config, patient)
            with self._heard(stream):
                await stream.put(stream.request.decoded(request.audio))
                stream.close()
                async for message in stream.messages():
                    answer.seconds = message.audio_processed
                    if message.HasField("segment"):
                        answer.segments.append(message.segment)
        self.figures.heard(answer.seconds, len(answer.segments))
        return answer

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a stream in; why it ends otherwise than its client would have it is counted too.

        Raises:
            RefusedStream: UNAVAILABLE, RESOURCE_EXHAUSTED.
        """
        try:
            self._admit()
            self._open += 1
            self.figures.connections.inc()
            try:
                yield
            finally:
                self._open -= 1
                self.figures.connections.dec()
        except RefusedStream as refused:
            if refused.status is not grpc.StatusCode.CANCELLED:
                self.figures.refused(refused.status.name)
            raise

    def _admit(self) -> None:
        if self._draining:
            raise self._draining.again()
        if self._open >= self.limits.streams:
            said = f"{self._open} streams are open, as many as are served here at once; try again later"
            raise RefusedStream(grpc.StatusCode.RESOURCE_EXHAUSTED, said)

    def _stream(self, config: proto.StreamingConfig, limits: StreamLimits) -> LiveStream:
        return LiveStream(self.model, StreamRequest.read(config), limits, self.scoring.wake)

    @contextmanager
    def _heard(self, stream: LiveStream) -> Iterator[None]:
        """Have a stream heard."""
        self.scoring.streams.add(stream)
        try:
            if self._draining:  # since it was admitted
                stream.close(self._draining)
            yield
        finally:
            self.scoring.streams.discard(stream)

    def _silent(self) -> RefusedStream:
        said = f"no message for {self.limits.idle:g} s; end a stream when nothing follows"
        return RefusedStream(grpc.StatusCode.DEADLINE_EXCEEDED, said)

    async def _config(self, requests: Requests) -> proto.StreamingConfig:
        try:
            async with asyncio.timeout(self.limits.idle):
                first = await anext(requests, None)
        except TimeoutError:
            raise self._silent() from None
        if first is None or not first.HasField("config"):
            raise invalid("no config: expected it as the first message, and sound after it")
        return first.config

    async def _read(self, requests: Requests, stream: LiveStream, told: StreamFigures) -> None:
        """Take in a stream's sound to its end."""
        loop, idle = asyncio.get_running_loop(), self.limits.idle
        try:
            async with asyncio.timeout(idle) as limit:  # one for all messages: one for each costs as much as a message
                async for message in requests:
                    if not message.HasField("audio"):
                        raise invalid("a second config, or a message of neither config nor audio: expected audio")
                    block = stream.request.decoded(message.audio)
                    told.came(len(block))
                    if stream.may_wait(block):
                        limit.reschedule(None)
                    await stream.put(block)
                    limit.reschedule(loop.time() + idle)
        except TimeoutError:
            stream.close(self._silent())
        except RefusedStream as refused:
            if refused.status is grpc.StatusCode.CANCELLED:  # nobody is there to be told the rest
                stream.fail(refused)
            stream.close(refused)
        else:
            stream.close()

    async def drain(self) -> None:
        """Serve no new stream; those that run are told their last segment, and that the service goes down."""
        self._draining = RefusedStream(grpc.StatusCode.UNAVAILABLE, "the service goes down; try again later")
        for tell in self.when_draining:
            await tell()
        for stream in list(self.scoring.streams):
            stream.close(self._draining)
        while self.scoring.streams:
            await asyncio.sleep(0.02)
