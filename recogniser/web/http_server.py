"""The HTTP server beside gRPC, in its event loop: page, streams over WebSockets, files, how the service does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from common.errors import FedserError
from recogniser.monitoring.gauges import last_day
from recogniser.monitoring.service_figures import CONTENT_TYPE
from recogniser.service.event_messages import model_message
from recogniser.service.open_streams import OpenStreams
from recogniser.service.server_access import Access
from recogniser.service.stream_limits import LARGEST_MESSAGE
from recogniser.web import page
from recogniser.web.event_json import model_dict
from recogniser.web.flow_control import WaitingSocket
from recogniser.web.sent_file import SentFiles
from recogniser.web.socket_stream import serve_socket
from recogniser.web.visitors import Visitors
from recogniser.workers.file_hearing import FileHearing, FileThread

_KEPT = 1 << 16  # bytes that the system keeps for a client that does not take them: by itself it would keep megabytes
_LINGER = 2  # seconds that answers under way have, once all streams have ended


@dataclass(frozen=True, kw_only=True)
class HttpServer:
    """A way into a service beside gRPC.

    Attributes:
        access: who may use it, and where it listens.
        scores: where scores are kept, whose last day is among the figures; None for nowhere.
        hearing: what hears files; by default a thread.
    """

    access: Access = field(default_factory=Access)
    scores: Path | None = None
    hearing: FileHearing | None = None

    @asynccontextmanager
    async def listening(self, streams: OpenStreams) -> AsyncIterator[int]:
        """Listen within the block, whose value is the port.

        Raises:
            FedserError: it cannot listen there.
        """
        files = SentFiles(streams, self.hearing or FileThread(streams.model, streams.kept))
        with _bound(self.access) as listener:
            server = _Server(self._configuration(streams, files))
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True
                await serving
                files.end()

    def _configuration(self, streams: OpenStreams, files: SentFiles) -> uvicorn.Config:
        tls = self.access.certificate is not None
        return uvicorn.Config(
            application(streams, files, self.access, self.scores),
            ssl_context_factory=(lambda _, __: self.access.context()) if tls else None,
            headers=list(page.HEADERS.items()),  # with every answer, also to what is no request
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws=WaitingSocket,
            ws_max_size=LARGEST_MESSAGE,
            ws_per_message_deflate=False,
            access_log=False,
            log_config=None,
            log_level="critical",
            timeout_graceful_shutdown=_LINGER,
        )


class _Server(uvicorn.Server):
    """One whose end is told by whoever runs it, and not by signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _bound(access: Access) -> socket.socket:
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    try:
        listener = socket.create_server((access.host.strip("[]"), access.port), family=family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KEPT)  # each connection's too
        return listener
    except OSError:
        raise FedserError(
            f"cannot listen on {access.address}: another program does, or it is no address of this machine; "
            "choose another --port or --host"
        ) from None


def application(streams: OpenStreams, files: SentFiles, access: Access, scores: Path | None = None) -> Starlette:
    """What is asked of the service, and by whom it may be."""

    async def stream(socket: WebSocket) -> None:
        await serve_socket(socket, streams)

    def model(_: Request) -> Response:
        return JSONResponse({**model_dict(model_message(streams.model)), "keeps_scores": streams.kept is not None})

    def healthy(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    def ready(_: Request) -> Response:
        return PlainTextResponse("ok\n") if streams.ready else PlainTextResponse("it goes down\n", 503)

    def metrics(_: Request) -> Response:
        daily = last_day(scores) if scores else ""
        return Response(streams.figures.exposition() + daily, headers={"Content-Type": CONTENT_TYPE})

    gets = {"/v1/model": model, "/healthz": healthy, "/readyz": ready, "/metrics": metrics}
    app = Starlette(
        routes=[
            WebSocketRoute("/v1/stream", stream),
            Route("/v1/recognise", files.answer, methods=["POST"]),
            *[Route(path, answer) for path, answer in gets.items()],
            *[Route(path, answer) for path, answer in page.answers().items()],
        ],
        middleware=[Middleware(Visitors, access=access, refused=streams.figures.refused)],
    )
    app.router.redirect_slashes = False
    return app
