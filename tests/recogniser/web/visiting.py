"""Clients of a service's HTTP and WebSockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from recogniser.listening.exported_model import ExportedModel
from recogniser.service.server_access import Access
from recogniser.web.http_server import HttpServer
from recogniser.workers.file_hearing import FileHearing
from tests.recogniser.service.serving import Running, running
from tests.recogniser.speech import RATE, Signal

CONFIG: dict[str, Any] = {"sample_rate_hertz": RATE, "encoding": "FLOAT32"}
END = '{"end": true}'


@contextmanager
def visited(
    model: ExportedModel, access: Access | None = None, hearing: FileHearing | None = None, **more: Any
) -> Iterator[Running]:
    access = access or Access()
    beside = [HttpServer(access=access, hearing=hearing)]
    with running(model, access=access, beside=beside, **more) as service:
        yield service


def address(service: Running, path: str = "/", scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{service.beside[0]}{path}"


@contextmanager
def web(service: Running, **more: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address(service), timeout=30, trust_env=False, **more) as client:
        yield client


@contextmanager
def connected(service: Running, **more: Any) -> Iterator[ClientConnection]:
    with connect(address(service, "/v1/stream", "ws"), proxy=None, **more) as socket:
        yield socket


def pcm(sound: Signal) -> bytes:
    return np.ascontiguousarray(sound, "<f4").tobytes()


def told(socket: ClientConnection) -> tuple[list[dict[str, Any]], int, str]:
    """All events, and the code and reason that the socket is closed with."""
    events: list[dict[str, Any]] = []
    try:
        while True:
            events.append(json.loads(socket.recv(timeout=30)))
    except ConnectionClosed as closed:
        found = closed.rcvd
    return events, found.code if found else 1006, found.reason if found else ""


def say(socket: ClientConnection, *messages: str | bytes) -> None:
    for message in messages:
        socket.send(message)
