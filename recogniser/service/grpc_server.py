"""The gRPC server: where it listens, its limits, health, reflection, and how it goes down."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from common.errors import FedserError
from recogniser.listening.exported_model import ExportedModel
from recogniser.service import emotion_pb2_grpc
from recogniser.service.emotion_service import NAME, EmotionService
from recogniser.service.kept_scores import KeptScores
from recogniser.service.open_streams import Hearing, OpenStreams
from recogniser.service.server_access import Access
from recogniser.service.stream_limits import LARGEST_MESSAGE, StreamLimits
from recogniser.sound.gates import open_gate

GRACE = 10.0  # seconds that streams have to take their last segment
_LINGER = 0.5  # seconds that whoever watches the service's health has to hear of it
_OPTIONS = [
    ("grpc.so_reuseport", 0),  # or a second server shares the port without a word
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),  # so often clients may ask whether it is there
]


class Beside(Protocol):
    """Another way into the same service."""

    def listening(self, streams: OpenStreams) -> AbstractAsyncContextManager[int]:
        """Listen within the block, whose value is the port."""


@dataclass(frozen=True, kw_only=True)
class GrpcServer:
    """A service that is to run.

    Attributes:
        model: that listens.
        limits: of its streams.
        access: who may speak with it, and where.
        kept: where scores are kept; None for nowhere.
        beside: other ways into it, in the same process.
        scoring: what hears its streams; by default a thread.
    """

    model: ExportedModel
    limits: StreamLimits = field(default_factory=StreamLimits)
    access: Access = field(default_factory=Access)
    kept: KeptScores | None = None
    beside: Sequence[Beside] = ()
    scoring: Hearing | None = None

    async def run(self, until: asyncio.Event, say: Callable[..., None]) -> None:
        """Serve.

        Args:
            until: is set when it is to go down.
            say: called with the port, and those of what is beside, once it listens.

        Raises:
            FedserError: it cannot listen there, or its gate is not installed.
        """
        open_gate("silero")  # now, not with the first stream
        streams = OpenStreams(self.model, self.limits, self.kept, self.scoring)
        hearing = asyncio.create_task(streams.scoring.run())
        told = asyncio.create_task(until.wait())
        try:
            async with AsyncExitStack() as ways:
                say(*[await ways.enter_async_context(own.listening(streams)) for own in (self, *self.beside)])
                try:
                    await asyncio.wait({told, hearing}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    await _drain(streams)
        finally:
            told.cancel()
            if not hearing.cancel():
                hearing.result()  # which raises: it broke
            streams.scoring.end()

    @asynccontextmanager
    async def listening(self, streams: OpenStreams) -> AsyncIterator[int]:
        """Listen within the block, whose value is the port.

        Raises:
            FedserError: it cannot listen there.
        """
        watched = health.aio.HealthServicer()
        server = grpc.aio.server(interceptors=self.access.interceptors(streams.figures.refused), options=_OPTIONS)
        emotion_pb2_grpc.add_EmotionRecognitionServicer_to_server(EmotionService(streams), server)
        health_pb2_grpc.add_HealthServicer_to_server(watched, server)
        reflection.enable_server_reflection((NAME, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        port = self._listen(server)
        await server.start()
        for name in ("", NAME):
            await watched.set(name, health_pb2.HealthCheckResponse.SERVING)
        streams.when_draining.append(watched.enter_graceful_shutdown)
        try:
            yield port
        finally:
            await server.stop(_LINGER)

    def _listen(self, server: Any) -> int:
        at = self.access.address
        try:
            credentials = self.access.credentials()
            return int(server.add_secure_port(at, credentials) if credentials else server.add_insecure_port(at))
        except RuntimeError:
            raise FedserError(
                f"cannot listen on {at}: another program does, or it is no address of this machine; "
                "choose another --grpc-port or --host"
            ) from None


async def _drain(streams: OpenStreams) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(streams.drain(), GRACE)


async def serve_until_told(server: GrpcServer, say: Callable[..., None]) -> None:
    """Serve until the process is asked to end, by SIGTERM or SIGINT; as ``GrpcServer.run``."""
    until, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, until.set)
    await server.run(until, say)
