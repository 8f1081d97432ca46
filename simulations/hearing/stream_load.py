"""Clients of a service: some streams in real time, and how long after their sound's end its events come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import ListenSettings
from recogniser.service import emotion_pb2 as proto
from simulations.hearing.hop_times import chunks, percentiles, scores_of
from simulations.hearing.made_up_sound import RATE, Signal, in_16_bits, talk

METHOD = "/fedser.emotion.v1.EmotionRecognition/StreamingRecognize"
_VOICES = 8  # sounds that differ
_EACH = 25  # streams of a connection
_LATE = 20.0  # seconds that a service has for what is left


@dataclass(kw_only=True)
class Client:
    """One stream.

    Attributes:
        requests: its config and its sound, as bytes.
        chunk: seconds from message to message of its sound.
        began: when its sound began.
        came: when each answer came, and what it is, as bytes.
        late: by how much each message went out later than its sound was there.
        ending: the status that it ended with.
    """

    requests: Sequence[bytes]
    chunk: float
    began: float = 0.0
    came: list[tuple[float, bytes]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    ending: str = ""

    async def talk(self, channel: grpc.aio.Channel) -> None:
        """Send what is there to be sent when it is there, and take what comes."""
        call = channel.stream_stream(METHOD)()
        listening = asyncio.create_task(self._listen(call))
        self.began = time.monotonic()
        try:
            await call.write(self.requests[0])
            for number, content in enumerate(self.requests[1:], 1):
                due = self.began + number * self.chunk
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self.late.append(time.monotonic() - due)
                await call.write(content)
            await call.done_writing()
            await asyncio.wait_for(listening, _LATE)
        except (grpc.RpcError, asyncio.InvalidStateError, TimeoutError) as error:
            self.ending = type(error).__name__
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, call: Any) -> None:
        async for content in call:
            self.came.append((time.monotonic(), content))


def load(
    model: str, port: int, streams: int, seconds: float, window: float, hop: float, chunk: float
) -> dict[str, Any]:
    """Let so many streams speak for so long, begun one after the other within a second.

    Returns:
        ``p50`` and ``p99`` of the milliseconds between a window's end in a stream's own sound, were it spoken while it
        is sent, and when the client has it; ``lost``: windows and segments that never came; ``events``: windows that
        did; ``client_late_ms``, the 99th percentile of this process's own lateness; ``client_cpu``, of a core.
    """
    sounds = [talk(f"stream {number}", seconds) for number in range(min(_VOICES, streams))]
    settings = ListenSettings(window=window, hop=hop)
    expected = [sum(scores_of(ExportedModel.load(Path(model)), settings, sound)) for sound in sounds]
    requests = [requests_of(sound, window, hop, chunk) for sound in sounds]
    clients = [Client(requests=requests[number % len(sounds)], chunk=chunk) for number in range(streams)]
    cpu, wall = time.process_time(), time.monotonic()
    asyncio.run(_all(clients, port))
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    delays: list[float] = []
    came = 0
    for client in clients:
        for moment, content in client.came:
            message = proto.StreamingRecognizeResponse.FromString(content)
            came += message.HasField("window") or message.HasField("segment")
            if message.HasField("window"):
                delays.append(moment - client.began - message.window.end)
    wanted = sum(expected[number % len(sounds)] for number in range(streams))
    late = [own for client in clients for own in client.late]
    return {
        **percentiles(delays or [float("inf")]),
        "lost": wanted - came,
        "events": len(delays),
        "client_late_ms": percentiles(late or [0.0])["p99"],
        "client_cpu": round(cpu / wall, 2),
    }


def requests_of(sound: Signal, window: float, hop: float, chunk: float) -> list[bytes]:
    """A stream's messages: its config, and its sound in chunks of so many seconds."""
    config = proto.StreamingConfig(
        encoding=proto.LINEAR16, sample_rate_hertz=RATE, window=window, hop=hop, interim_results=True
    )
    whole = [proto.StreamingRecognizeRequest(config=config)]
    sent = (in_16_bits(part).tobytes() for part in chunks(sound, chunk))
    whole += [proto.StreamingRecognizeRequest(audio=content) for content in sent]
    return [message.SerializeToString() for message in whole]


async def _all(clients: Sequence[Client], port: int) -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) for _ in range(-(-len(clients) // _EACH))]
    tasks = []
    for number, client in enumerate(clients):
        tasks.append(asyncio.create_task(client.talk(channels[number // _EACH])))
        await asyncio.sleep(1 / len(clients))
    await asyncio.gather(*tasks)
    await asyncio.gather(*(channel.close() for channel in channels))
