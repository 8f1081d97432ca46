"""Bad clients are told what is wrong, harm nobody, and leave nothing behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import grpc
import pytest

from recogniser.listening.exported_model import ExportedModel, Probabilities, Window
from recogniser.service import emotion_pb2 as proto
from recogniser.service import emotion_pb2_grpc
from recogniser.service.live_stream import LiveStream
from recogniser.service.stream_limits import StreamLimits
from tests.recogniser.service.serving import (
    assert_same,
    audio,
    client,
    config,
    messages,
    of_the_file,
    running,
    segments,
)
from tests.recogniser.speech import RATE, talk


def silence(seconds: float) -> bytes:
    return bytes(round(seconds * RATE) * 4)


BAD: dict[str, tuple[list[proto.StreamingRecognizeRequest], grpc.StatusCode, str]] = {
    "nothing": ([], grpc.StatusCode.INVALID_ARGUMENT, "no config"),
    "no config": ([audio(silence(1))], grpc.StatusCode.INVALID_ARGUMENT, "no config"),
    "twice": ([config(), config()], grpc.StatusCode.INVALID_ARGUMENT, "second config"),
    "odd": ([config(), audio(b"odd")], grpc.StatusCode.INVALID_ARGUMENT, "within a sample"),
    "rate": ([config(sample_rate_hertz=100)], grpc.StatusCode.INVALID_ARGUMENT, "sample_rate_hertz 100"),
    "channels": ([config(channels=-1)], grpc.StatusCode.INVALID_ARGUMENT, "channels -1"),
    "hop": ([config(hop=0.001)], grpc.StatusCode.INVALID_ARGUMENT, "hop 0.001"),
    "nan": ([config(unsure=float("nan"))], grpc.StatusCode.INVALID_ARGUMENT, "unsure nan"),
    "large": ([config(), audio(bytes(2 << 20))], grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    "long": ([config(), *[audio(silence(10))] * 3], grpc.StatusCode.OUT_OF_RANGE, "20 seconds"),
    "idle": ([config(), audio(silence(1))], grpc.StatusCode.DEADLINE_EXCEEDED, "no message for 0.5 s"),
}


def test_bad_clients_harm_nobody(model: ExportedModel, tmp_path: Path) -> None:
    wait = Event()
    with running(model, limits=StreamLimits(seconds=20, idle=0.5)) as service, client(service) as stub:
        calls = {
            name: stub.StreamingRecognize(stalling(sent, wait) if name == "idle" else iter(sent))
            for name, (sent, _, _) in BAD.items()
        }
        healthy = stub.StreamingRecognize(messages(talk(0), RATE // 10))
        for name, (_, status, said) in BAD.items():
            with pytest.raises(grpc.RpcError, match=said) as refused:
                list(calls[name])
            assert refused.value.code() is status, name
        wait.set()
        assert_same(segments(healthy), of_the_file(model, tmp_path, talk(0)))


def stalling(sent: list[proto.StreamingRecognizeRequest], until: Event) -> Iterator[proto.StreamingRecognizeRequest]:
    yield from sent
    until.wait(30)


def test_no_more_streams_than_may_be(model: ExportedModel) -> None:
    with running(model, limits=StreamLimits(streams=1)) as service, client(service) as stub:
        wait = Event()
        first = stub.StreamingRecognize(stalling(list(messages(talk(0), RATE)), wait))
        assert next(first).HasField("lag")
        with pytest.raises(grpc.RpcError, match="as many as are served") as refused:
            list(stub.StreamingRecognize(messages(talk(0), RATE)))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        first.cancel()  # a client that is cut off leaves nothing behind
        wait.set()
        assert place_is_free(stub)


def place_is_free(stub: Any) -> bool:
    for _ in range(400):
        with suppress(grpc.RpcError):
            return bool(list(stub.StreamingRecognize(iter([config()])))[-1].HasField("done"))
        sleep(0.05)
    return False


def test_sound_that_waits_too_long_ends_its_stream(model: ExportedModel) -> None:
    with running(model, limits=StreamLimits(most_waiting=0.02)) as service, client(service) as stub:
        with pytest.raises(grpc.RpcError, match="comes faster than this machine hears it") as refused:
            list(stub.StreamingRecognize(messages(talk(0), len(talk(0)))))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_client_that_does_not_listen_makes_room_for_others(model: ExportedModel) -> None:
    narrow = [("grpc.http2.lookahead_bytes", 16384), ("grpc.http2.bdp_probe", 0)]

    def talking() -> Iterator[proto.StreamingRecognizeRequest]:
        yield config(interim_results=True, hop=0.05)
        while True:  # nobody asks for more once the call is over
            yield from list(messages(talk(0), RATE // 10))[1:]

    limits = StreamLimits(streams=1, most_waiting=0.5)
    with running(model, limits=limits) as service, grpc.insecure_channel(service.address, options=narrow) as channel:
        call = emotion_pb2_grpc.EmotionRecognitionStub(channel).StreamingRecognize(talking())
        next(call)  # it has the place
        with client(service) as stub:
            assert place_is_free(stub)
        with pytest.raises(grpc.RpcError) as refused:
            list(call)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_bad_clients_leave_nothing_behind(model: ExportedModel) -> None:
    gc.collect()
    gc.disable()  # so that what would only go when Python tidies up is seen
    try:
        with running(model, limits=StreamLimits(seconds=1)) as service, client(service) as stub:
            for name in ("nothing", "twice", "odd", "large", "long"):
                with pytest.raises(grpc.RpcError):
                    list(stub.StreamingRecognize(iter(BAD[name][0])))
            assert all_are_gone(lambda: None)
            for _ in range(10):
                stub.StreamingRecognize(messages(talk(0)[:RATE], 1600)).cancel()
            assert all_are_gone(gc.collect)  # asyncio's own rings of failed calls
    finally:
        gc.enable()


def all_are_gone(tidy: Callable[[], object]) -> bool:
    for _ in range(100):
        tidy()
        if not any(type(own) is LiveStream for own in gc.get_objects()):
            return True
        sleep(0.05)
    return False


class Breaking(ExportedModel):
    """A model that breaks on whatever it is to score."""

    def score(self, windows: Sequence[Window]) -> Probabilities:
        raise ZeroDivisionError


def test_where_the_model_breaks_streams_end_and_the_service_goes_on(model: ExportedModel) -> None:
    with running(Breaking(**vars(model))) as service, client(service) as stub:
        for _ in range(2):
            with pytest.raises(grpc.RpcError, match="broke; begin it again") as ended:
                list(stub.StreamingRecognize(messages(talk(0), RATE)))
            assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        assert place_is_free(stub)
