"""What a gRPC status is called by HTTP and by WebSockets, so that all ways into a service refuse alike."""

from __future__ import annotations

import grpc
from starlette.responses import JSONResponse

from recogniser.service.refused_stream import RefusedStream

_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.DEADLINE_EXCEEDED: 408,
    grpc.StatusCode.OUT_OF_RANGE: 413,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
}
TOO_LARGE = 1009
_SOCKET = {grpc.StatusCode.RESOURCE_EXHAUSTED: 1013, grpc.StatusCode.UNAVAILABLE: 1011}
_POLICY = 1008  # whatever else: the client did not keep to what is asked of it


def http_refusal(refused: RefusedStream, code: int | None = None) -> JSONResponse:
    """The answer to a request that is not served."""
    status = code or _HTTP.get(refused.status, 500)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {"Retry-After": "1"} if status in (429, 503) else {}
    return JSONResponse(as_dict(refused), status_code=status, headers=headers)


def close_code(refused: RefusedStream) -> int:
    """The code that a WebSocket is closed with."""
    return _SOCKET.get(refused.status, _POLICY)


def as_dict(refused: RefusedStream) -> dict[str, str]:
    """The status and why, as a client reads it."""
    return {"status": refused.status.name, "detail": refused.detail}
