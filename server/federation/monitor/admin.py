"""The coordinator's admin page: a small server that reads the federation's folder and changes nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from common.deployment.page_headers import page_headers
from common.errors import FederationError, FedserError
from server.federation.folder.coordinator_folder import Folder
from server.federation.monitor import page, prometheus
from server.federation.monitor.snapshot import View, as_json, look

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
HEADERS = page_headers(page.POLICY)
ALLOWED = "GET, HEAD"
PAGES: dict[str, tuple[str, Callable[[View], str]]] = {
    "/": ("text/html; charset=utf-8", page.render),
    "/status.json": ("application/json", lambda view: json.dumps(as_json(view), indent=1) + "\n"),
    "/metrics": (prometheus.CONTENT_TYPE, prometheus.exposition),
}


@contextlib.contextmanager
def serve(folder: Folder, host: str, port: int) -> Iterator[int]:
    """Serve the page, ``/status.json`` and ``/metrics`` from a thread, until the block ends.

    Args:
        folder: the coordinator's.
        host: the address to listen on; the page has no password, so nothing that sites or strangers reach.
        port: 0 for any that is free.

    Yields:
        The port.

    Raises:
        FederationError: the port is taken.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise FederationError(
            f"the admin page can't listen on {host}:{port} ({error.strerror}); end what does, or set another "
            "admin_port in federation.toml"
        ) from None
    with listener:
        server = uvicorn.Server(_configuration(folder))
        thread = threading.Thread(target=server.run, args=([listener],), name="admin", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def application(folder: Folder) -> Starlette:
    """The pages, for GET and HEAD under a name that is this server's own."""
    app = Starlette(
        routes=[Route(path, _page(folder, kind, make)) for path, (kind, make) in PAGES.items()],
        middleware=[Middleware(OwnNames, names={*LOOPBACK, folder.host.lower()})],
        exception_handlers={404: _unknown, 405: _not_allowed, FedserError: _failed},
    )
    app.router.redirect_slashes = False
    return app


class OwnNames:
    """Refuses a request under another name than the server's own.

    A page of a stranger that is open in the coordinator's browser could let its name point to this server; its
    requests would carry that name (DNS rebinding). Starlette's ``TrustedHostMiddleware`` knows neither ``[::1]``, which
    it cuts at the first colon, nor that ``LOCALHOST`` is ``localhost``.

    Args:
        app: what is asked.
        names: in lower case, addresses of IPv6 in brackets.
    """

    def __init__(self, app: ASGIApp, names: set[str]) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        host = Headers(scope=scope).get("host", "").lower()
        name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
        refusal = PlainTextResponse("this page is not served under that name\n", status_code=403)
        await (self._app if name in self._names else refusal)(scope, receive, send)


def _configuration(folder: Folder) -> uvicorn.Config:
    return uvicorn.Config(
        application(folder),
        headers=list(HEADERS.items()),  # with every answer, also to what is no request
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        log_level="error",
        timeout_graceful_shutdown=1,
    )


def _page(folder: Folder, kind: str, make: Callable[[View], str]) -> Callable[[Request], Response]:
    def answer(_: Request) -> Response:
        return Response(make(look(folder)), headers={"Content-Type": kind})

    return answer


def _unknown(_: Request, __: Exception) -> Response:
    return PlainTextResponse(f"there are {', '.join(PAGES)}\n", status_code=404)


def _not_allowed(_: Request, __: Exception) -> Response:
    return PlainTextResponse(f"only {ALLOWED}\n", status_code=405, headers={"Allow": ALLOWED})


def _failed(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", status_code=500)
