"""Clients of a service that do all but what they should: what each is told, and what so many leave behind."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from recogniser.service import emotion_pb2 as proto
from simulations.hearing.made_up_sound import RATE, in_16_bits, talk
from simulations.hearing.served_model import Served, serving
from simulations.hearing.stream_load import METHOD, Client, requests_of

AT_ONCE = 32  # clients
PLACES = 256  # streams that the service serves at once: a moment passes until it notices who is gone
STREAMS = 32  # of which one is compared with itself alone
SECONDS = 6.0  # of its sound
IDLE = 1.0  # seconds without a message that the service bears
LARGE, LARGEST = 2 << 20, 1 << 30  # bytes of a message; the service takes 1 MB
_SETTLES = 4.0  # seconds after which nothing of who is gone may be left
_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The ways into a service.

    Attributes:
        channel: of gRPC.
        web_port: of HTTP and WebSockets.
    """

    channel: grpc.aio.Channel
    web_port: int

    def socket(self) -> connect:
        """A WebSocket."""
        return connect(f"ws://127.0.0.1:{self.web_port}/v1/stream", proxy=None, close_timeout=1, max_queue=1)


Segments = dict[tuple[float, float], dict[str, float]]
Behaviour = Callable[[Ways], Awaitable[str]]


def _message(**more: Any) -> bytes:
    own: bytes = proto.StreamingRecognizeRequest(**more).SerializeToString()
    return own


def _config(**more: Any) -> bytes:
    return _message(config=proto.StreamingConfig(sample_rate_hertz=RATE, **more))


_SECOND = in_16_bits(talk("a second", 1.0)).tobytes()
_TEXT = f'{{"sample_rate_hertz": {RATE}}}'


def _grpc(*messages: bytes, ends: bool = True) -> Behaviour:
    """One that sends these and takes what it is told."""

    async def behave(ways: Ways) -> str:
        call = ways.channel.stream_stream(METHOD)()
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            for message in messages:
                await call.write(message)
            if ends:
                await call.done_writing()
            async for _ in call:
                pass
        return str((await call.code()).name)

    return behave


async def _cut(ways: Ways) -> str:
    call = ways.channel.stream_stream(METHOD)()
    await call.write(_config(interim_results=True))
    await call.write(_message(audio=_SECOND[:12_000]))
    call.cancel()
    with suppress(asyncio.CancelledError):
        return str((await call.code()).name)
    return "CANCELLED"


async def _deaf(ways: Ways) -> str:
    """Takes nothing for a while, and goes."""
    call = ways.channel.stream_stream(METHOD)()
    await call.write(_config(interim_results=True, hop=0.05))
    for _ in range(4):
        await call.write(_message(audio=_SECOND))
    await asyncio.sleep(0.3)
    call.cancel()
    return "CANCELLED"


def _web(*messages: str | bytes) -> Behaviour:
    """A WebSocket that sends these and takes what it is told."""

    async def behave(ways: Ways) -> str:
        async with ways.socket() as socket:
            with suppress(ConnectionClosed):
                for message in messages:
                    await socket.send(message)
                while True:
                    await socket.recv()
        return str(socket.close_code)

    return behave


async def _web_cut(ways: Ways) -> str:
    async with ways.socket() as socket:
        try:
            await socket.send(_TEXT)
            await socket.send(_SECOND)
        except ConnectionClosed:  # more were cut than the service had noticed yet
            return str(socket.close_code)
        socket.transport.abort()
    return "gone"


async def _file_cut(ways: Ways) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", ways.web_port)
    head = f"POST /v1/recognise HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(_SECOND)}\r\n\r\n"
    writer.write(head.encode() + _SECOND[:12_000])
    await writer.drain()
    writer.transport.abort()
    return "gone"


KINDS: dict[str, Behaviour] = {
    "no config": _grpc(_message(audio=_SECOND)),
    "config twice": _grpc(_config(), _config()),
    "odd byte": _grpc(_config(), _message(audio=b"odd")),
    "2 MB message": _grpc(_config(), bytes(LARGE)),
    "50 times as fast": _grpc(_config(interim_results=True), *[_message(audio=_SECOND)] * 2),
    "stall": _grpc(_config(), ends=False),
    "cut": _cut,
    "slow reader": _deaf,
    "WebSocket, no config": _web(_SECOND),
    "WebSocket, config twice": _web(_TEXT, _TEXT),
    "WebSocket, odd byte": _web(_TEXT, b"odd"),
    "WebSocket, 2 MB message": _web(_TEXT, bytes(LARGE)),
    "WebSocket, stall": _web(_TEXT),
    "WebSocket, cut": _web_cut,
    "file, cut": _file_cut,
}


def run(model: Path, count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Send a service so many of each kind, and hear whether it serves the others as before.

    Args:
        model: an export's folder.
        count: clients of each kind.
        tell: of each kind, once it is done.

    Returns:
        JSON-ready: ``kinds``, by name what they were told and how often, and what the service held after them;
        ``held`` at the start, once some of each had been there, and at the end: threads, open files, MB; ``healthy``:
        the most that a probability of a stream beside them differs from that of the same alone, 1 where its segments
        are others, None where it was cut short, as it is on a machine that has no time for it; ``neighbours``:
        likewise of a live stream among others; ``largest``: what a message of 1 GB is told by a service that waits for
        it, and what that holds.

    Raises:
        FedserError: the service does not begin.
    """
    with serving(model, "--idle", f"{IDLE:g}", "--max-streams", str(PLACES)) as service:
        found = asyncio.run(_all(service, count, tell))
    return {**found, "largest": _largest(model)}


async def _all(service: Served, count: int, tell: Callable[[str], None]) -> dict[str, Any]:
    address = f"127.0.0.1:{service.port}"
    held = {"start": _held(service)}
    alone = await _spoken(address, 1)
    beside = await _spoken(address, STREAMS)
    healthy = _differs(alone, beside)
    tell(f"a stream among {STREAMS} differs by {healthy}")
    kinds: dict[str, Any] = {}
    for behave in KINDS.values():  # what is kept for good is there once some of each have been
        await _kind(service, behave, AT_ONCE)
    await asyncio.sleep(_SETTLES)
    held["some"], beside_them = _held(service), [healthy]
    for name, behave in KINDS.items():
        began = time.monotonic()
        stream = asyncio.create_task(_spoken(address, 1))
        told = await _kind(service, behave, count)
        beside_them.append(_differs(alone, await stream))
        kinds[name] = {"told": told, "seconds": round(time.monotonic() - began, 1), **_held(service)}
        tell(f"{count} of {name}: {', '.join(told)}, {kinds[name]['rss_mb']:.0f} MB")
    await asyncio.sleep(_SETTLES)
    held["end"] = _held(service)
    return {
        "count": count,
        "kinds": kinds,
        "held": held,
        "healthy": None if None in beside_them else max(own or 0.0 for own in beside_them),
        "neighbours": {"streams": STREAMS, "differs": healthy},
    }


async def _kind(service: Served, behave: Behaviour, count: int) -> dict[str, int]:
    """What so many are told, some at once."""
    told: Counter[str] = Counter()
    left = iter(range(count))

    async def some() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{service.port}", _OPTIONS) as channel:
            ways = Ways(channel=channel, web_port=service.web_port)
            for _ in left:
                told[await behave(ways)] += 1

    await asyncio.gather(*(some() for _ in range(min(AT_ONCE, count))))
    return dict(told.most_common())


def _largest(model: Path) -> dict[str, Any]:
    """What a message of 1 GB is told by a service that waits for it, and what that holds before and after."""
    with serving(model) as service, grpc.insecure_channel(f"127.0.0.1:{service.port}", _OPTIONS) as channel:
        before = _held(service)
        call = channel.stream_stream(METHOD)(iter([_config(), bytes(LARGEST)]))
        with suppress(grpc.RpcError):
            list(call)
        return {"bytes": LARGEST, "told": call.code().name, "before": before, "after": _held(service)}


async def _spoken(address: str, streams: int) -> Segments:
    """The segments of the first of some live streams: their probabilities, by where they lie; none where it broke."""
    chunk = 0.1
    sounds = [talk(f"stream {number}", SECONDS) * (1 if number == 0 else 2) for number in range(streams)]
    clients = [Client(requests=requests_of(sound.clip(-1, 1), 2.0, 0.5, chunk), chunk=chunk) for sound in sounds]
    async with grpc.aio.insecure_channel(address, _OPTIONS) as channel:
        await asyncio.gather(*(client.talk(channel) for client in clients))
    found = [proto.StreamingRecognizeResponse.FromString(content) for _, content in clients[0].came]
    segments = [own.segment for own in found if own.HasField("segment")]
    if not found or not found[-1].HasField("done"):
        return {}
    return {(own.start, own.end): {each.emotion: each.probability for each in own.scores} for own in segments}


def _differs(one: Segments, other: Segments) -> float | None:
    """The most that a probability does; 1 where the segments are others, None where there are none."""
    if not one or not other:
        return None
    if one.keys() != other.keys():
        return 1.0
    return max(abs(value - other[place][name]) for place, own in one.items() for name, value in own.items())


def _held(service: Served) -> dict[str, float]:
    """What the service holds now."""
    fields = dict(line.split(":", 1) for line in service.status().splitlines())
    return {
        "threads": int(fields["Threads"]),
        "files": len(list(Path(f"/proc/{service.pid}/fd").iterdir())),
        "rss_mb": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
    }
