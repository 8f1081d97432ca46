"""A stream over a WebSocket is told what the file's result holds; a bad client what is wrong, and by which code."""

from __future__ import annotations

import gc
import json
import socket as sockets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from recogniser.listening.exported_model import ExportedModel
from recogniser.service.live_stream import LiveStream
from recogniser.service.stream_limits import StreamLimits
from tests.recogniser.service.serving import Running, client, messages, of_the_file, segments
from tests.recogniser.speech import RATE, talk
from tests.recogniser.web.visiting import CONFIG, END, connected, pcm, say, told, visited, web


@pytest.fixture(scope="module")
def service(model: ExportedModel) -> Iterator[Running]:
    with visited(model, limits=StreamLimits(seconds=20, idle=0.5, streams=16)) as found:
        yield found


def spoken(service: Running, size: int, **more: Any) -> list[dict[str, Any]]:
    sound = talk(0)
    with connected(service) as socket:
        say(socket, json.dumps({**CONFIG, **more}))
        say(socket, *[pcm(sound[at : at + size]) for at in range(0, len(sound), size)], END)
        events, code, _ = told(socket)
    assert code == 1000
    return events


@pytest.mark.parametrize("size", [137, 160_000])
def test_a_stream_is_the_file_and_grpcs(model: ExportedModel, service: Running, tmp_path: Path, size: int) -> None:
    events = spoken(service, size)
    found = [own for own in events if own["type"] == "segment"]
    with client(service) as stub:
        other = segments(stub.StreamingRecognize(messages(talk(0), size)))
    file = of_the_file(model, tmp_path, talk(0))
    assert len(found) == len(other) == len(file) > 0
    for own, grpcs, files in zip(found, other, file, strict=True):
        for name in ("start", "end", "emotion", "heard"):
            assert own[name] == getattr(grpcs, name) == getattr(files, name)
        scores = {each.emotion: each.probability for each in grpcs.scores}
        assert own["probabilities"] == pytest.approx(scores, abs=1e-7)
        assert own["probabilities"] == pytest.approx(files.probabilities, abs=1e-5)
        assert (own["channel"], own["speaker"]) == (None, None)
    profile = events[-1].pop("profile")
    assert events[-1] == {"type": "done", "audio_processed": pytest.approx(len(talk(0)) / RATE)}
    again = [own for own in spoken(service, size, profile=profile) if own["type"] == "segment"]
    assert found[-1]["heard"] < again[0]["heard"] <= found[-1]["heard"] + duration(found[-1])


def test_a_stream_may_ask_for_all_that_grpcs_may(service: Running) -> None:
    events = spoken(service, 1600, speaker="ann", unsure=1.0, interim_results=True, hop=0.25, adapt="NONE")
    kinds = {own["type"] for own in events}
    assert {"segment", "done"} <= kinds <= {"segment", "done", "window", "lag"}
    assert all(0.35 < own["speech"] <= 1 for own in events if own["type"] == "window")
    heard = [own for own in events if own["type"] == "segment"]
    assert {(own["speaker"], own["emotion"]) for own in heard} == {("ann", None)}


def test_speech_that_begins_and_ends_is_told_as_grpc_tells_it(service: Running) -> None:
    more: dict[str, Any] = {"activity": True, "least": 0.2, "pause": 0.2, "speaker": "ann"}
    events = [own for own in spoken(service, 1600, **more) if own["type"] in ("activity", "segment")]
    with client(service) as stub:
        other = list(stub.StreamingRecognize(messages(talk(0), 1600, **more)))
    grpcs = [
        getattr(own, str(own.WhichOneof("event")))
        for own in other
        if own.WhichOneof("event") in ("activity", "segment")
    ]
    assert [own["type"] for own in events] == ["activity", "activity", "segment"] * (len(events) // 3)
    assert len(grpcs) == len(events) > 3
    for own, each in zip(events, grpcs, strict=True):
        if own["type"] == "activity":
            assert (own["time"], own["speaking"]) == (each.time, each.speaking)
            assert (own["channel"], own["speaker"], each.speaker) == (None, "ann", "ann")
        else:
            assert own["start"] == each.start
    [begins, ends] = [own for own in events[:3] if own["type"] == "activity"]
    assert (begins["speaking"], begins["time"], ends["time"]) == (True, events[2]["start"], events[2]["end"])
    assert "activity" not in {own["type"] for own in spoken(service, 1600)}


def duration(segment: dict[str, Any]) -> float:
    return float(segment["end"] - segment["start"])


SILENCE = bytes(4 * RATE)
TEXT = json.dumps(CONFIG)
BAD: dict[str, tuple[list[str | bytes], int, str]] = {
    "no config": ([SILENCE], 1008, "no config"),
    "nothing": ([END], 1008, "no config"),
    "twice": ([TEXT, TEXT], 1008, "second config"),
    "odd": ([TEXT, b"odd"], 1008, "within a sample"),
    "no json": (["{"], 1008, "neither a config"),
    "no field": (['{"rate": 16000}'], 1008, "neither a config"),
    "deep": (["[" * 100_000], 1008, "neither a config"),
    "rate": (['{"sample_rate_hertz": 100}'], 1008, "sample_rate_hertz 100"),
    "nan": ([json.dumps({**CONFIG, "unsure": "NaN"})], 1008, "unsure nan"),
    "long": ([TEXT, *[bytes(40 * RATE)] * 3], 1008, "20 seconds"),
    "stall": ([TEXT, SILENCE], 1008, "no message for 0.5 s"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_client_is_told(service: Running, name: str) -> None:
    sent, code, said = BAD[name]
    with connected(service) as socket:
        say(socket, *sent)
        events, found, reason = told(socket)
    assert (found, events[-1]["type"]) == (code, "error")
    assert said in events[-1]["detail"]
    assert events[-1]["detail"].startswith(reason)


def test_a_message_that_is_too_large_is_not_taken(service: Running) -> None:
    with connected(service) as socket:
        say(socket, TEXT)
        with suppress(ConnectionClosed):
            say(socket, bytes(2 << 20))
        assert told(socket)[1] == 1009
    assert figure(service, 'rejected_total{reason="resource_exhausted"}') >= 1


def figure(service: Running, name: str) -> float:
    with web(service) as asked:
        lines = asked.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"fedser_recogniser_{name} ")), 0.0)


def test_sound_that_waits_too_long_ends_its_stream(model: ExportedModel) -> None:
    with visited(model, limits=StreamLimits(most_waiting=0.02)) as service, connected(service) as socket:
        say(socket, TEXT, pcm(talk(0)))
        events, code, _ = told(socket)
    assert (code, events[-1]["status"]) == (1013, "RESOURCE_EXHAUSTED")


@pytest.mark.slow
def test_a_client_that_takes_nothing_makes_room_for_others(model: ExportedModel) -> None:
    """It talks on and never reads: what is kept for it is bounded, its stream ends, and so does its socket."""
    narrow = sockets.socket()
    narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 1 << 12)
    limits = StreamLimits(streams=1, waiting=600, most_waiting=0.5)
    with visited(model, limits=limits) as service:
        narrow.connect(("127.0.0.1", service.beside[0]))
        asked = {**CONFIG, "interim_results": True, "hop": 0.05, "speaker": "x" * 200}
        with connected(service, sock=narrow, max_queue=1, close_timeout=0.1) as deaf:
            say(deaf, json.dumps(asked))
            with pytest.raises(ConnectionClosed):
                say(deaf, *[pcm(talk(0))] * 300)
        assert figure(service, 'rejected_total{reason="resource_exhausted"}') == 1
        wait_for(service, 0)


def test_no_more_than_may_be_and_nothing_is_left_of_who_is_cut_off(model: ExportedModel) -> None:
    with visited(model, limits=StreamLimits(streams=1)) as service:
        with connected(service) as first:
            say(first, TEXT, pcm(talk(0)[: RATE * 2]))
            wait_for(service, 1)
            with connected(service) as second:
                assert told(second)[1] == 1013
            first.socket.close()  # without a word
        wait_for(service, 0)
        for _ in range(5):
            with suppress(ConnectionClosed), connected(service) as again:  # the place may still be taken
                say(again, TEXT, pcm(talk(0)[:RATE]))
        wait_for(service, 0)
        gc.collect()
        assert not [own for own in gc.get_objects() if type(own) is LiveStream]


def wait_for(service: Running, connections: int) -> None:
    for _ in range(400):
        if figure(service, "connections") == connections:
            return
        sleep(0.05)
    pytest.fail(f"there are not {connections} connections")


def test_when_it_goes_down_streams_are_told_their_last_segment(model: ExportedModel) -> None:
    with visited(model) as service, connected(service) as socket:
        say(socket, json.dumps({**CONFIG, "interim_results": True}), pcm(talk(0)[: RATE * 2]))
        assert json.loads(socket.recv(timeout=30))["type"] == "window"
        service.stop()
        events, code, reason = told(socket)
    assert (code, reason) == (1011, "the service goes down; try again later")
    assert [own["type"] for own in events][-2:] == ["segment", "error"]


def test_what_is_heard_is_counted(model: ExportedModel) -> None:
    with visited(model) as service:
        found = [own for own in spoken(service, 1600) if own["type"] == "segment"]
        assert figure(service, "audio_seconds_total") == pytest.approx(len(talk(0)) / RATE)
        assert figure(service, "segments_total") == len(found)
        assert figure(service, "latency_seconds_count") >= len(found)
        assert 0 < figure(service, "latency_seconds_sum") < 60
        with web(service) as asked:
            assert asked.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
