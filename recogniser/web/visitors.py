"""Whom HTTP and WebSockets serve: who has the token, and no page of a stranger that is open in somebody's browser."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from urllib.parse import urlsplit

import grpc
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from common.deployment.loopback import on_this_machine
from recogniser.service.refused_stream import RefusedStream
from recogniser.service.server_access import Access
from recogniser.web.socket_stream import accept, protocols, refuse
from recogniser.web.status_codes import http_refusal

_ASKED = ("/v1/", "/metrics")  # what needs a token; the page itself and whether the service is well do not
BEARER = "bearer."  # before a token among a WebSocket's protocols


class Visitors:
    """Passes on who may ask, and refuses whoever else.

    Args:
        app: what is asked.
        access: who may.
        refused: called with the status of each that may not.
    """

    def __init__(self, app: ASGIApp, access: Access, refused: Callable[[str], None]) -> None:
        self._app, self._access, self._refused = app, access, refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        found = self._fault(scope)
        if found is None:
            return await self._app(scope, receive, send)
        self._refused(found.status.name)
        if scope["type"] == "http":
            return await http_refusal(found)(scope, receive, send)
        socket = WebSocket(scope, receive, send)
        await accept(socket)
        return await refuse(socket, found)

    def _fault(self, scope: Scope) -> RefusedStream | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not self._is_ours(host):
            said = (
                f"this service is not called {host[:100]!r}: ask for localhost or its address, or have it want a token"
            )
            return RefusedStream(grpc.StatusCode.PERMISSION_DENIED, said)
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            said = "a page from elsewhere asks: this service is for its own page, and for programs"
            return RefusedStream(grpc.StatusCode.PERMISSION_DENIED, said)
        if scope["path"].startswith(_ASKED) and not self._has_token(scope, headers):
            said = (
                "expected the header Authorization: Bearer TOKEN, or of a browser's WebSocket the protocol bearer.TOKEN"
            )
            return RefusedStream(grpc.StatusCode.UNAUTHENTICATED, said)
        return None

    def _is_ours(self, host: str) -> bool:
        """Where nothing is asked of who comes, a stranger's name could be made to point here (DNS rebinding)."""
        if self._access.token or self._access.client_ca:
            return True
        name = host if host.rpartition(":")[2].isdigit() else f"{host}:0"
        return on_this_machine(name)

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        offered = [name.removeprefix(BEARER) for name in protocols(scope) if name.startswith(BEARER)]
        given = [f"Bearer {_decoded(name)}" for name in offered]
        return any(self._access.lets_in(each) for each in [headers.get("authorization", ""), *given])


def _decoded(text: str) -> str:
    """A token as a WebSocket's protocol may be named: in base64 with - and _, without =."""
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
