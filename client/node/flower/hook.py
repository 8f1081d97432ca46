"""Where the guard gets between Flower's SuperNode and the server, and where an end of Flower's gets a reason.

Flower has no public hook for it. One name is replaced: ``http_request_response``, with which Flower's client opens its
connection. What of Flower's insides this rests on is looked at when the node starts: another version of Flower, that
differs, makes it end with one line, and never run unguarded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from flwr.supernode import start_client_internal as flower

from client.node.flower.guard import Guard
from client.node.flower.intake import Callbacks
from common.errors import FedserError
from common.flower.internals import refuse_redirects

log = logging.getLogger("fedser.node")

HOOK = "http_request_response"


def check_flower() -> None:
    """Look whether Flower's insides are as this module needs them.

    Raises:
        FedserError: they are not: the node would run unguarded.
    """
    opens = getattr(getattr(flower, "_init_connection", None), "__wrapped__", None)
    if HOOK not in _names(opens) or "_init_connection" not in _names(getattr(flower, "start_client_internal", None)):
        raise FedserError(
            "this Flower connects in a way that the node's guard does not know; install the one in constraints.txt"
        )


def _names(function: Any) -> tuple[str, ...]:
    """What a function looks up outside of itself."""
    code = getattr(function, "__code__", None)
    return code.co_names if code else ()


@contextlib.contextmanager
def guard_connection(guarded: Callable[[Callbacks], Guard]) -> Iterator[None]:
    """Put a guard into the connection that Flower opens meanwhile, which leads to the coordinator alone."""
    refuse_redirects()
    original = getattr(flower, HOOK)

    @contextlib.contextmanager
    def connect(*args: Any, **kwargs: Any) -> Iterator[Callbacks]:
        with original(*args, **kwargs) as given:
            try:
                guard = guarded(named(given))
            except FedserError as error:  # Flower would log it and go on
                log.error("%s", error)
                raise SystemExit(1) from None
            yield guard.callbacks()

    setattr(flower, HOOK, connect)
    try:
        yield
    finally:
        setattr(flower, HOOK, original)


def named(given: tuple[Any, ...]) -> Callbacks:
    """Flower's callbacks by name.

    Raises:
        FedserError: they are others, or in another order.
    """
    found = tuple(getattr(callback, "__name__", "") for callback in given[1:])
    if found != Callbacks._fields[1:]:
        raise FedserError(f"Flower's connection gives {', '.join(found)}, expected {', '.join(Callbacks._fields[1:])}")
    return Callbacks(*given)


@contextlib.contextmanager
def watch_threads(faults: list[BaseException]) -> Iterator[None]:
    """End this process when a thread of Flower's fails: without its heartbeat the server takes a node for dead.

    Args:
        faults: what a thread failed with is added.
    """

    def note(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None:
            faults.append(failed.exc_value)
            if not is_unauthorized(failed.exc_value):  # then Flower ends by itself
                os.kill(os.getpid(), signal.SIGTERM)

    before, threading.excepthook = threading.excepthook, note
    try:
        yield
    finally:
        threading.excepthook = before


def is_unauthorized(error: BaseException | None) -> bool:
    """Whether the server refused the key: Flower then interrupts its own process, while it handles that answer."""
    while error is not None:
        if isinstance(error, httpx.HTTPStatusError) and error.response.status_code == httpx.codes.UNAUTHORIZED:
            return True
        error = error.__context__
    return False
