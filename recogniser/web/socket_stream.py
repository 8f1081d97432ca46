"""A live stream over a WebSocket: a config as text, sound as binary messages, events back as text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from common.escaping import as_json
from recogniser.service import emotion_pb2 as proto
from recogniser.service.live_stream import Message
from recogniser.service.open_streams import OpenStreams
from recogniser.service.refused_stream import RefusedStream
from recogniser.service.stream_limits import LARGEST_MESSAGE
from recogniser.web.event_json import event_text, read_text
from recogniser.web.status_codes import TOO_LARGE, as_dict, close_code

PROTOCOL = "fedser.emotion.v1"
_TAKES = 1.0  # seconds that a client has to take the last message but one
_LONGEST_REASON = 120  # bytes; a close frame holds 123


async def serve_socket(socket: WebSocket, streams: OpenStreams) -> None:
    """Serve one stream, and close its socket: with 1000 at its end, else with the code of what ended it."""
    await accept(socket)

    async def write(message: Message) -> None:
        try:
            await socket.send_text(event_text(message))
        except WebSocketDisconnect as gone:
            raise _gone(gone.code) from None

    try:
        await streams.serve(_requests(socket), write)
    except RefusedStream as refused:
        await refuse(socket, refused)
    else:
        with suppress(WebSocketDisconnect):
            await socket.close()


async def accept(socket: WebSocket) -> None:
    """Let a client speak, by the protocol's name where it gave it."""
    await socket.accept(PROTOCOL if PROTOCOL in protocols(socket.scope) else None)


def protocols(scope: Scope) -> list[str]:
    """The protocols that a client offers, which it may do in one header or in several."""
    return [name.strip() for line in scope.get("subprotocols", []) for name in line.split(",")]


async def refuse(socket: WebSocket, refused: RefusedStream) -> None:
    """Say why a stream ends, whole in a message and cut short in the close frame; nothing to who is gone."""
    if refused.status is grpc.StatusCode.CANCELLED:
        return
    with suppress(WebSocketDisconnect):
        with suppress(TimeoutError):
            async with asyncio.timeout(_TAKES):  # who takes nothing has the close frame alone
                await socket.send_text(as_json({"type": "error", **as_dict(refused)}))
        reason = refused.detail.encode()[:_LONGEST_REASON].decode(errors="ignore")
        await socket.close(close_code(refused), reason)


def _gone(code: int) -> RefusedStream:
    if code == TOO_LARGE:
        said = f"a message above {LARGEST_MESSAGE} bytes; send the sound in smaller ones"
        return RefusedStream(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
    return RefusedStream(grpc.StatusCode.CANCELLED, "the client is gone")


async def _requests(socket: WebSocket) -> AsyncIterator[proto.StreamingRecognizeRequest]:
    """A client's messages as those of the proto, until it says that nothing follows.

    Raises:
        RefusedStream: CANCELLED: it went without a word; INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
    """
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise _gone(message.get("code", 1005))
        if (text := message.get("text")) is None:
            yield proto.StreamingRecognizeRequest(audio=message["bytes"])
        elif (config := read_text(text)) is None:
            return
        else:
            yield proto.StreamingRecognizeRequest(config=config)
