"""Calls to the coordinator that outlast a broken connection.

Flower's own client tries again where a connection is refused or lost, but takes a handshake that timed out, as they do
in a network that swallows packets, for a wrong certificate, and gives the message up.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from client.node.flower.coordinator import words
from client.node.flower.intake import Callbacks

log = logging.getLogger("fedser.node")

SECONDS = 900.0  # after which a call is given up; the server has long gone on
WAITS = (0.5, 1.0, 2.0, 5.0)


class Patience:
    """Makes callbacks patient; all of a connection's together say once that it broke, and once that it is back."""

    def __init__(self, seconds: float = SECONDS, sleep: Callable[[float], None] = time.sleep) -> None:
        self._seconds, self._sleep = seconds, sleep
        self._lost = threading.Event()

    def all(self, server: Callbacks) -> Callbacks:
        """A connection's callbacks, each of them patient."""
        callbacks: tuple[Any, ...] = server[1:]
        return Callbacks(server.node_id, *map(self.each, callbacks))

    def each(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """One callback, that tries again where the coordinator cannot be reached, or has no time."""

        @functools.wraps(callback)
        def call(*args: Any) -> Any:
            deadline, tries = time.monotonic() + self._seconds, 0
            while True:
                try:
                    result = callback(*args)
                except (httpx.TransportError, httpx.HTTPStatusError) as error:
                    if not _may_pass(error) or time.monotonic() > deadline:
                        raise
                    self._say(error)
                else:
                    self._back()
                    return result
                self._sleep(WAITS[min(tries, len(WAITS) - 1)])
                tries += 1

        return call

    def _say(self, error: httpx.TransportError | httpx.HTTPStatusError) -> None:
        if not self._lost.is_set():
            self._lost.set()
            log.warning("the coordinator %s; trying again", words(error))

    def _back(self) -> None:
        if self._lost.is_set():
            self._lost.clear()
            log.info("the coordinator answers again")


def _may_pass(error: httpx.TransportError | httpx.HTTPStatusError) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == httpx.codes.TOO_MANY_REQUESTS
    return True
