"""A hundred of each kind of bad client leave nothing behind: no thread, no stream, no open file."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

import grpc
import numpy as np
import pytest

from recogniser.listening.exported_model import ExportedModel
from recogniser.service import emotion_pb2 as proto
from recogniser.service import emotion_pb2_grpc
from recogniser.service.live_stream import LiveStream
from recogniser.service.stream_limits import StreamLimits
from tests.recogniser.service.serving import audio, client, config, messages, running, segments
from tests.recogniser.speech import RATE, talk

pytestmark = pytest.mark.slow
HUNDRED, AT_ONCE, PLACES = 100, 8, 32
FILES = Path("/proc/self/fd")
SECOND = bytes(RATE * 4)


def refused(stub: Any, sent: list[proto.StreamingRecognizeRequest]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as error:
        list(stub.StreamingRecognize(iter(sent)))
    return error.value.code()


def stalled(stub: Any) -> grpc.StatusCode:
    until = threading.Event()

    def sending() -> Any:
        yield config()
        until.wait(20)

    with pytest.raises(grpc.RpcError) as error:
        list(stub.StreamingRecognize(sending()))
    until.set()
    return error.value.code()


def cut(stub: Any) -> grpc.StatusCode:
    """In the middle, after an answer."""
    call = stub.StreamingRecognize(messages(talk(0)[: 2 * RATE], 800, interim_results=True))
    call.cancel()
    with suppress(grpc.RpcError):
        list(call)
    return call.code()


def fast(stub: Any) -> grpc.StatusCode:
    """Sound at many times its own pace is heard all the same."""
    call = stub.StreamingRecognize(messages(np.zeros(2 * RATE, np.float32), 1600))
    assert list(call)[-1].HasField("done")
    return call.code()


def deaf(stub: Any) -> grpc.StatusCode:
    """Takes one answer and no other."""
    call = stub.StreamingRecognize(messages(np.zeros(4 * RATE, np.float32), 1600, interim_results=True))
    next(call)
    del call
    return grpc.StatusCode.OK


Client = Callable[[Any], grpc.StatusCode]
CODE = grpc.StatusCode
KINDS: dict[str, tuple[Client, grpc.StatusCode]] = {
    "no config": (lambda stub: refused(stub, [audio(SECOND)]), CODE.INVALID_ARGUMENT),
    "config twice": (lambda stub: refused(stub, [config(), config()]), CODE.INVALID_ARGUMENT),
    "odd byte": (lambda stub: refused(stub, [config(), audio(b"odd")]), CODE.INVALID_ARGUMENT),
    "large message": (lambda stub: refused(stub, [config(), audio(bytes(2 << 20))]), CODE.RESOURCE_EXHAUSTED),
    "50 times as fast": (fast, CODE.OK),
    "stall": (stalled, CODE.DEADLINE_EXCEEDED),
    "cut": (cut, CODE.CANCELLED),
    "slow reader": (deaf, CODE.OK),
}


def held() -> tuple[int, int, int]:
    """Threads, open files and streams of this process, in which the service runs too."""
    gc.collect()
    streams = sum(type(own) is LiveStream for own in gc.get_objects())
    return threading.active_count(), len(list(FILES.iterdir())), streams


@pytest.mark.skipif(not FILES.is_dir(), reason="open files are counted in /proc")
def test_a_hundred_of_each_leave_nothing_behind(model: ExportedModel) -> None:
    limits = StreamLimits(streams=PLACES, idle=1)
    with running(model, limits=limits) as service, client(service) as healthy:
        expected = segments(healthy.StreamingRecognize(messages(talk(0), RATE)))
        hundred_of_each(service.address, AT_ONCE)  # what gRPC itself keeps, it has made by now
        before = held()
        hundred_of_each(service.address, HUNDRED)
        assert settles(lambda: all(now <= then + 4 for now, then in zip(held(), before, strict=True))), (held(), before)
        found = segments(healthy.StreamingRecognize(messages(talk(0), RATE)))
        assert [(own.start, own.end, own.heard) for own in found] == [
            (own.start, own.end, own.heard) for own in expected
        ]
        # Every place is free: as many as may be open at once are, and each is served.
        calls = [healthy.StreamingRecognize(messages(talk(0)[:RATE], RATE)) for _ in range(PLACES)]
        assert all(list(call)[-1].HasField("done") for call in calls)


def hundred_of_each(address: str, count: int) -> None:
    for name, (behave, status) in KINDS.items():
        with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(AT_ONCE) as pool:
            stub = emotion_pb2_grpc.EmotionRecognitionStub(channel)
            assert set(pool.map(behave, [stub] * count)) == {status}, name


def settles(holds: Callable[[], bool]) -> bool:
    for _ in range(200):
        if holds():
            return True
        sleep(0.05)
    return False
