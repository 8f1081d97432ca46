"""The coordinator's admin page: a small server that reads the federation's folder and changes nothing."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from common.errors import FederationError, FedserError
from server.federation.folder.coordinator_folder import Folder
from server.federation.monitor import page, prometheus
from server.federation.monitor.snapshot import View, as_json, look

log = logging.getLogger("fedser.admin")
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
SECURITY = {
    "Content-Security-Policy": page.POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
HTML, JSON, TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"
PAGES: dict[str, tuple[str, Callable[[View], str]]] = {
    "/": (HTML, page.render),
    "/status.json": (JSON, lambda view: json.dumps(as_json(view), indent=1) + "\n"),
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
    handler = partial(_Handler, folder=folder, hosts={*LOOPBACK, folder.host.lower()})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise FederationError(
            f"the admin page can't listen on {host}:{port} ({error.strerror}); end what does, or set another "
            "admin_port in federation.toml"
        ) from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for three paths, asked for under a name that is this server's own.

    A page of a stranger that is open in the coordinator's browser could let its name point to this server; its
    requests would carry that name (DNS rebinding).
    """

    timeout = 10  # seconds: a connection that says nothing holds a thread
    server_version, sys_version = "fedser", ""

    def __init__(self, *arguments: object, folder: Folder, hosts: set[str]) -> None:
        self._folder, self._hosts = folder, hosts
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        if self._named() not in self._hosts:
            self._answer(HTTPStatus.FORBIDDEN, TEXT, "this page is not served under that name\n")
            return
        path = self.path.partition("?")[0]
        if path not in PAGES:
            self._answer(HTTPStatus.NOT_FOUND, TEXT, f"there are {', '.join(PAGES)}\n")
            return
        kind, made = PAGES[path]
        try:
            text = made(look(self._folder))
        except FedserError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, f"{error}\n")
            return
        self._answer(HTTPStatus.OK, kind, text)

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer what is no request, or none of these two; the base class would do so without our headers."""
        unknown = code == HTTPStatus.NOT_IMPLEMENTED
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED if unknown else HTTPStatus(code), TEXT, "only GET and HEAD\n")

    def _named(self) -> str:
        """The name in the Host header, without the port."""
        host = self.headers.get("Host", "").lower()
        return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]

    def _answer(self, code: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(code)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), **SECURITY}
        if code is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, HEAD"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with contextlib.suppress(ConnectionError):  # the reader has gone
                self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the base class's name
        log.debug(format, *arguments)
