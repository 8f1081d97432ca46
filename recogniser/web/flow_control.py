"""WebSockets whose clients take what they are told: who doesn't is waited for, and let go in the end.

uvicorn's protocol hands all that it is given to the socket, which keeps what its client does not take, however much it
is. Here sending waits while more than a little is kept there, so that whoever sends can tell that it takes too long.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

LINGER = 2.0  # seconds that a client has to take the rest, once its stream has ended


class WaitingSocket(WebSocketsSansIOProtocol):
    """uvicorn's protocol for WebSockets with a bound on what is kept for a client: asyncio's, 64 kB."""

    def pause_writing(self) -> None:
        """Have senders wait; called where too much is kept."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """Let them go on; called once most of it is taken."""
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let those that wait go on, to be told that nobody is there."""
        self.writable.set()
        super().connection_lost(exc)

    async def send(self, message: Any) -> None:
        """As of uvicorn; a close frame, which is the last and small, waits for nobody."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)

    async def run_asgi(self) -> None:
        """As of uvicorn; a socket that has nobody to take the rest is not kept for it."""
        await super().run_asgi()
        self.loop.call_later(LINGER, self.transport.abort)
