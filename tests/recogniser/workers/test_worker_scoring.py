"""Streams in worker processes are told what a thread tells, keep to themselves, and end when their process does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import grpc
import pytest
from websockets.sync.client import ClientConnection

from recogniser.listening.exported_model import ExportedModel
from recogniser.monitoring.segment_log import read_logs
from recogniser.service import emotion_pb2 as proto
from recogniser.service.kept_scores import KeptScores
from recogniser.workers.worker_scoring import WorkerScoring
from tests.recogniser.service.serving import (
    Running,
    assert_same,
    client,
    messages,
    of_the_file,
    segments,
)
from tests.recogniser.speech import RATE, talk
from tests.recogniser.web.visiting import CONFIG, connected, pcm, say, told, visited


@dataclass(frozen=True)
class Shared:
    service: Running
    scoring: WorkerScoring
    kept: Path


@pytest.fixture(scope="module")
def shared(exported: Path, model: ExportedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    kept = tmp_path_factory.mktemp("scores") / "kept"
    scores = KeptScores(kept, model)
    scoring = WorkerScoring(exported, 2, kept)
    with visited(model, scoring=scoring, kept=scores) as service:
        yield Shared(service, scoring, kept)


def test_each_stream_is_the_file(model: ExportedModel, shared: Shared, tmp_path: Path) -> None:
    with client(shared.service) as stub:
        calls = [stub.StreamingRecognize(messages(talk(seed), 1600)) for seed in (0, 1, 0, 1)]
        found = [list(call) for call in calls]
    for seed, own in zip((0, 1, 0, 1), found, strict=True):
        assert_same(segments(own), of_the_file(model, tmp_path, talk(seed)))
        assert own[-1].HasField("done")
    ids = {each.id for own in found for each in segments(own)}
    assert ids == {own.id for own in read_logs(shared.kept).segments}


def waiting(until: Event) -> Iterator[proto.StreamingRecognizeRequest]:
    yield from messages(talk(0)[: 2 * RATE], RATE // 2, interim_results=True)
    until.wait(30)


def test_a_process_that_dies_ends_its_streams_alone_and_is_replaced(
    model: ExportedModel, shared: Shared, tmp_path: Path
) -> None:
    until, before, sound = Event(), shared.scoring.pids, talk(0)
    config = json.dumps({**CONFIG, "interim_results": True})
    with client(shared.service) as stub, connected(shared.service) as socket:
        call = stub.StreamingRecognize(waiting(until))
        assert next(call).HasField("window")  # of the first process
        say(socket, config)
        until_heard(socket)  # of the second
        kill(before[0])
        with pytest.raises(grpc.RpcError, match="broke; begin it again") as ended:
            list(call)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
        until.set()
        say(socket, pcm(sound[2 * RATE :]), '{"end": true}')
        events, code, _ = told(socket)
        assert code == 1000
        found = [own["end"] for own in events if own["type"] == "segment"]
        assert found == [own.end for own in of_the_file(model, tmp_path, sound)]
        with connected(shared.service) as last:
            say(last, config)
            until_heard(last)
            for pid in (before[1], shared.scoring.pids[0]):
                kill(pid)
            assert told(last)[1:] == (1011, "what hears this stream broke; begin it again")
        for _ in range(2):
            assert list(stub.StreamingRecognize(messages(sound, RATE)))[-1].HasField("done")
    assert not set(before) & set(shared.scoring.pids)


def until_heard(socket: ClientConnection) -> None:
    say(socket, pcm(talk(0)[: 2 * RATE]))
    assert json.loads(socket.recv(timeout=30))["type"] == "window"


def kill(pid: int | None) -> None:
    assert pid
    os.kill(pid, signal.SIGKILL)
