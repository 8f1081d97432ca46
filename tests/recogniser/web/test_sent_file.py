"""A file over HTTP is answered as ``fedser recognise`` answers, and nothing of it stays."""

from __future__ import annotations

import gc
import io
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import numpy as np
import pytest
import soundfile

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.monitoring.segment_log import read_logs
from recogniser.service.kept_scores import KeptScores
from recogniser.service.stream_limits import StreamLimits
from recogniser.web import sent_file
from tests.recogniser.service.serving import Running
from tests.recogniser.speech import RATE, talk
from tests.recogniser.web.visiting import visited, web


@pytest.fixture(scope="module")
def service(model: ExportedModel) -> Iterator[Running]:
    with visited(model, limits=StreamLimits(seconds=20, idle=0.5)) as found:
        yield found


def written(kind: str, seconds: float | None = None) -> bytes:
    sound = talk(0) if seconds is None else [0.0] * round(seconds * RATE)
    file = io.BytesIO()
    soundfile.write(file, sound, RATE, format=kind)
    return file.getvalue()


def sent(service: Running, content: bytes, **asked: Any) -> tuple[int, dict[str, Any]]:
    with web(service) as client:
        answer = client.post("/v1/recognise", content=content, params=asked)
    found: dict[str, Any] = answer.json()
    return answer.status_code, found


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_a_file_is_answered_as_the_command_does(
    model: ExportedModel, service: Running, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "session"
    path.write_bytes(written(kind))
    listen = ListenSettings(adapt="running", hop=0.25, separate=True)
    settings = RecogniseSettings(listen=listen, unsure=0.4)
    expected = {**json.loads(recognise(model, path, settings).as_json()), "path": "session"}
    asked = {"name": "session", "adapt": "running", "hop": 0.25, "channels": "separate", "unsure": 0.4}
    status, found = sent(service, path.read_bytes(), **asked)
    assert (status, found) == (200, expected)
    assert found["segments"]


def test_by_default_too(model: ExportedModel, service: Running, tmp_path: Path) -> None:
    path = tmp_path / "sound"
    path.write_bytes(written("WAV"))
    status, found = sent(service, path.read_bytes())
    assert status == 200
    assert found["segments"] == json.loads(recognise(model, path, RecogniseSettings()).as_json())["segments"]


def test_its_segments_are_kept_where_scores_are(model: ExportedModel, tmp_path: Path) -> None:
    with visited(model, kept=KeptScores(tmp_path / "scores", model)) as service:
        status, found = sent(service, written("WAV"), name="a")
    logged = read_logs(tmp_path / "scores").segments
    assert (status, [own["id"] for own in found["segments"]]) == (200, [own.id for own in logged])
    for own, each in zip(found["segments"], logged, strict=True):
        assert each.scores == pytest.approx(own["probabilities"], abs=1e-4)
    assert len(logged) == 2


BAD: dict[str, tuple[bytes, dict[str, Any], int, str]] = {
    "empty": (b"", {}, 400, "an empty body"),
    "parameter": (b"x", {"speed": 2}, 400, "no parameter 'speed'"),
    "channels": (b"x", {"channels": "left"}, 400, "mixed or separate"),
    "hop": (b"x", {"hop": 0.001}, 400, "hop 0.001"),
    "number": (b"x", {"hop": "quick"}, 400, "quick"),
    "long": (written("FLAC", 30), {}, 413, "more than 20 seconds"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_told(service: Running, name: str) -> None:
    content, asked, status, said = BAD[name]
    code, found = sent(service, content, **asked)
    assert code == status
    assert said in found["detail"]


def test_what_is_no_sound_and_what_is_cut_short_is_named(service: Running) -> None:
    status, found = sent(service, b"no sound at all" * 100)
    assert (status, found["segments"], found["problems"][0]["kind"]) == (422, [], "unreadable")
    status, found = sent(service, written("WAV")[:60_000])
    assert (status, found["problems"][0]["kind"]) == (200, "truncated")


def test_a_file_that_is_too_large_is_not_taken(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_file, "LARGEST_FILE", 1000)
    status, found = sent(service, bytes(1001))
    assert (status, found["status"]) == (413, "OUT_OF_RANGE")

    def chunks() -> Iterator[bytes]:
        yield from [bytes(600)] * 2

    with web(service) as client:  # which doesn't say how much is to come
        assert client.post("/v1/recognise", content=chunks()).status_code == 413


def test_no_more_files_than_may_be(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_file, "MOST_FILES", 0)
    with web(service) as client:
        answer = client.post("/v1/recognise", content=b"x")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


def test_who_stalls_and_who_goes_leaves_nothing_behind(service: Running) -> None:
    head = b"POST /v1/recognise HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    place = ("127.0.0.1", service.beside[0])
    with socket.create_connection(place, 10) as stalling:
        stalling.sendall(head + b"some")
        assert b" 408 " in stalling.makefile("rb").readline()
    with socket.create_connection(place, 10) as leaving:
        leaving.sendall(head + b"some")
    with socket.create_connection(place, 10) as leaving:
        content = written("WAV")
        leaving.sendall(head.replace(b"100000", str(len(content)).encode()) + content)
    assert sent(service, written("WAV"))[0] == 200  # its turn comes after theirs
    gc.collect()
    assert in_memory() == []


def in_memory() -> list[int]:
    """The sizes of the files that are in memory."""
    sizes = []
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if "memfd:sound" in str(path.readlink()):
                sizes.append(path.stat().st_size)
    return sizes


class Waiting(ExportedModel):
    """A model that hears nothing before it may."""

    def frames_of(self, sounds: Any) -> Any:
        CALLS.append(sounds.shape[1])
        BEGAN.set()
        MAY.wait(30)
        return ExportedModel.frames_of(self, sounds)


BEGAN, MAY, CALLS = Event(), Event(), list[int]()


@pytest.fixture
def waiting(model: ExportedModel) -> ExportedModel:
    BEGAN.clear()
    MAY.clear()
    CALLS.clear()
    return Waiting(**vars(model))


def post_hours(service: Running) -> socket.socket:
    content = io.BytesIO()
    soundfile.write(content, np.tile(talk(0), 40), RATE, format="WAV")
    head = f"POST /v1/recognise HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content.getvalue())}\r\n\r\n"
    found = socket.create_connection(("127.0.0.1", service.beside[0]), 10)
    found.sendall(head.encode() + content.getvalue())
    assert BEGAN.wait(30)
    return found


def until(sizes: set[int]) -> None:
    while set(in_memory()) != sizes:
        sleep(0.01)


def test_a_file_of_a_client_that_went_is_not_heard_to_its_end(waiting: ExportedModel) -> None:
    with visited(waiting) as service:
        post_hours(service).close()
        until({0})
        MAY.set()
        until(set())
    assert 0 < len(CALLS) < 10


@pytest.mark.slow
def test_a_file_does_not_keep_a_service_from_going_down(waiting: ExportedModel) -> None:
    with visited(waiting) as service, post_hours(service):
        service.stop()
        until({0})  # after what is under way had its time
        MAY.set()
    assert 0 < len(CALLS) < 10
    assert in_memory() == []
