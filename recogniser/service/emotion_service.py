"""The service ``fedser.emotion.v1.EmotionRecognition``: each call admitted, read, heard and answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from recogniser.listening.exported_model import ExportedModel
from recogniser.service import emotion_pb2 as proto
from recogniser.service import emotion_pb2_grpc
from recogniser.service.event_messages import model_message
from recogniser.service.kept_scores import KeptScores
from recogniser.service.live_stream import LiveStream, Message, too_late
from recogniser.service.refused_stream import RefusedStream, invalid
from recogniser.service.scoring import Scoring
from recogniser.service.stream_limits import StreamLimits
from recogniser.service.stream_request import StreamRequest

NAME = proto.DESCRIPTOR.services_by_name["EmotionRecognition"].full_name
_FAR = float("inf")

Requests = AsyncIterator[proto.StreamingRecognizeRequest]


class EmotionService(emotion_pb2_grpc.EmotionRecognitionServicer):
    """What a server registers.

    Args:
        model: that listens.
        limits: of all streams and of each.
        kept: where scores are kept; None for nowhere.
    """

    def __init__(self, model: ExportedModel, limits: StreamLimits, kept: KeptScores | None = None) -> None:
        self._model, self._limits = model, limits
        self.scoring = Scoring(model, kept)
        self._open = 0
        self._draining: RefusedStream | None = None

    async def GetModel(self, _: proto.GetModelRequest, __: Any) -> proto.Model:  # noqa: N802 - the proto's name
        """What listens."""
        return model_message(self._model)

    async def StreamingRecognize(self, requests: Requests, context: Any) -> None:  # noqa: N802 - the proto's name
        """Live sound; see the proto."""
        try:
            with self._admitted():
                await self._serve(requests, context.write)
            return
        except RefusedStream as refused:
            ending = refused.again()  # gRPC holds on to what it is raised with: to no stream's frames
        await context.abort(ending.status, ending.detail)

    async def Recognize(  # noqa: N802 - the proto's name
        self, request: proto.RecognizeRequest, context: Any
    ) -> proto.RecognizeResponse:
        """Sound that is there already; see the proto."""
        try:
            with self._admitted():
                return await self._recognised(request)
        except RefusedStream as refused:
            ending = refused.again()
        await context.abort(ending.status, ending.detail)
        raise ending

    async def _serve(self, requests: Requests, write: Callable[[Message], Awaitable[None]]) -> None:
        stream = self._stream(await self._config(requests), self._limits)
        with self._heard(stream):
            reading = asyncio.create_task(self._read(requests, stream))
            try:
                async for message in stream.messages():
                    async with asyncio.timeout(self._limits.most_waiting):
                        await write(message)
            except TimeoutError:
                raise too_late(self._limits.most_waiting) from None
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _recognised(self, request: proto.RecognizeRequest) -> proto.RecognizeResponse:
        config = proto.StreamingConfig()
        config.CopyFrom(request.config)
        config.interim_results = False
        patient = StreamLimits(seconds=self._limits.seconds, waiting=_FAR, most_waiting=_FAR)
        stream = self._stream(config, patient)
        answer = proto.RecognizeResponse()
        with self._heard(stream):
            await stream.put(stream.request.decoded(request.audio))
            stream.close()
            async for message in stream.messages():
                answer.seconds = message.audio_processed
                if message.HasField("segment"):
                    answer.segments.append(message.segment)
        return answer

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """Count a stream in.

        Raises:
            RefusedStream: UNAVAILABLE, RESOURCE_EXHAUSTED.
        """
        if self._draining:
            raise self._draining.again()
        if self._open >= self._limits.streams:
            said = f"{self._open} streams are open, as many as are served here at once; try again later"
            raise RefusedStream(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def _stream(self, config: proto.StreamingConfig, limits: StreamLimits) -> LiveStream:
        return LiveStream(self._model, StreamRequest.read(config), limits, self.scoring.wake)

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
        said = f"no message for {self._limits.idle:g} s; end a stream when nothing follows"
        return RefusedStream(grpc.StatusCode.DEADLINE_EXCEEDED, said)

    async def _config(self, requests: Requests) -> proto.StreamingConfig:
        try:
            async with asyncio.timeout(self._limits.idle):
                first = await anext(requests, None)
        except TimeoutError:
            raise self._silent() from None
        if first is None or not first.HasField("config"):
            raise invalid("no config: expected it as the first message, and sound after it")
        return first.config

    async def _read(self, requests: Requests, stream: LiveStream) -> None:
        """Take in a stream's sound to its end."""
        loop, idle = asyncio.get_running_loop(), self._limits.idle
        try:
            async with asyncio.timeout(idle) as limit:  # one for all messages: one for each costs as much as a message
                async for message in requests:
                    if not message.HasField("audio"):
                        raise invalid("a second config, or a message of neither config nor audio: expected audio")
                    block = stream.request.decoded(message.audio)
                    if stream.may_wait(block):
                        limit.reschedule(None)
                    await stream.put(block)
                    limit.reschedule(loop.time() + idle)
        except TimeoutError:
            stream.close(self._silent())
        except RefusedStream as refused:
            stream.close(refused)
        else:
            stream.close()

    async def drain(self) -> None:
        """Serve no new stream; those that run are told their last segment, and that the service goes down."""
        self._draining = RefusedStream(grpc.StatusCode.UNAVAILABLE, "the service goes down; try again later")
        for stream in list(self.scoring.streams):
            stream.close(self._draining)
        while self.scoring.streams:
            await asyncio.sleep(0.02)
