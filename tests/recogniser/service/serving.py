"""A service in a thread of its own, and a client of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.listening.recording_result import Segment
from recogniser.service import emotion_pb2 as proto
from recogniser.service import emotion_pb2_grpc
from recogniser.service.grpc_server import GrpcServer
from recogniser.service.stream_limits import StreamLimits
from tests.recogniser.speech import RATE, Signal

PATIENT = StreamLimits(waiting=600, most_waiting=600)  # seconds
CONFIG = proto.StreamingConfig(sample_rate_hertz=RATE, encoding=proto.FLOAT32)


class Running:
    """A service that runs."""

    def __init__(self, port: int, stop: Any, *beside: int) -> None:
        self.port, self.stop, self.beside = port, stop, beside
        self.address = f"127.0.0.1:{port}"


@contextmanager
def running(model: ExportedModel, **more: Any) -> Iterator[Running]:
    ports: SimpleQueue[Any] = SimpleQueue()
    events: list[Any] = []

    async def serve() -> None:
        until, loop = asyncio.Event(), asyncio.get_running_loop()
        events.append(lambda: loop.call_soon_threadsafe(until.set))
        await GrpcServer(model=model, **more).run(until, lambda *found: ports.put(found))

    def run() -> None:
        try:
            asyncio.run(serve())
        except Exception as error:
            ports.put(error)

    thread = threading.Thread(target=run)
    thread.start()
    found = ports.get(timeout=30)
    if isinstance(found, Exception):
        thread.join()
        raise found
    try:
        yield Running(found[0], events[0], *found[1:])
    finally:
        events[0]()
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def client(service: Running) -> Iterator[Any]:
    with grpc.insecure_channel(service.address) as channel:
        yield emotion_pb2_grpc.EmotionRecognitionStub(channel)


def config(**more: Any) -> proto.StreamingRecognizeRequest:
    own = proto.StreamingConfig(**more)
    whole = proto.StreamingConfig()
    whole.CopyFrom(CONFIG)
    whole.MergeFrom(own)
    return proto.StreamingRecognizeRequest(config=whole)


def audio(content: bytes) -> proto.StreamingRecognizeRequest:
    return proto.StreamingRecognizeRequest(audio=content)


def messages(sound: Signal, size: int, **more: Any) -> Iterator[proto.StreamingRecognizeRequest]:
    yield config(**more)
    for at in range(0, len(sound), size):
        yield audio(np.ascontiguousarray(sound[at : at + size], "<f4").tobytes())


def segments(found: Iterable[proto.StreamingRecognizeResponse]) -> list[proto.Segment]:
    return [own.segment for own in found if own.HasField("segment")]


def of_the_file(model: ExportedModel, folder: Path, sound: Signal) -> list[Segment]:
    soundfile.write(folder / "x.wav", sound, RATE, subtype="FLOAT")
    settings = RecogniseSettings(listen=ListenSettings(adapt="running"))
    return recognise(model, folder / "x.wav", settings).segments


def assert_same(found: list[proto.Segment], expected: list[Segment]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert (one.start, one.end, one.emotion, one.heard) == (other.start, other.end, other.emotion, other.heard)
        assert {own.emotion: own.probability for own in one.scores} == pytest.approx(other.probabilities, abs=1e-5)
        assert one.is_final


def in_windows(sound: Signal, **more: int) -> Iterator[proto.StreamingRecognizeRequest]:
    """Of a ``PATIENT`` service, which skips none however busy the machine is."""
    return messages(sound, RATE // 10, interim_results=True, hop=0.25, **more)
