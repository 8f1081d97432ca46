"""Files in a process of their own are answered as in the service's; where it dies that is told, and the next heard."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from time import sleep

import httpx
import numpy as np
import pytest
import soundfile

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.monitoring.segment_log import read_logs
from recogniser.service.kept_scores import KeptScores
from recogniser.workers.file_hearing import FileProcess
from tests.recogniser.service.serving import Running
from tests.recogniser.speech import RATE, talk
from tests.recogniser.web.visiting import visited, web


@dataclass(frozen=True)
class Apart:
    service: Running
    hearing: FileProcess
    kept: Path


@pytest.fixture(scope="module")
def apart(exported: Path, model: ExportedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    kept = tmp_path_factory.mktemp("scores") / "kept"
    scores, hearing = KeptScores(kept, model), FileProcess(exported, kept)
    with visited(model, hearing=hearing, kept=scores) as service:
        yield Apart(service, hearing, kept)


def posted(service: Running, path: Path) -> httpx.Response:
    with web(service) as client:
        return client.post("/v1/recognise", content=path.read_bytes(), params={"name": "x"})


def test_a_file_is_answered_as_the_command_does_and_kept(apart: Apart, model: ExportedModel, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", talk(0), RATE)
    answer = posted(apart.service, tmp_path / "x.wav")
    assert apart.hearing.pid not in (None, os.getpid())
    found, expected = answer.json(), json.loads(recognise(model, tmp_path / "x.wav", RecogniseSettings()).as_json())
    ids = [own.pop("id") for own in found["segments"]]
    assert found == {**expected, "path": "x"}
    assert ids == [own.id for own in read_logs(apart.kept).segments]


def test_what_is_wrong_is_told_from_there_too(apart: Apart, tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"no sound" * 100)
    answer = posted(apart.service, tmp_path / "x.wav")
    assert (answer.status_code, answer.json()["problems"][0]["kind"]) == (422, "unreadable")


def test_a_process_that_dies_is_told_and_replaced(apart: Apart, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", talk(0), RATE)
    soundfile.write(tmp_path / "hours.flac", np.tile(talk(0), 300), RATE)
    assert posted(apart.service, tmp_path / "x.wav").status_code == 200
    answers: list[httpx.Response] = []
    asking = Thread(target=lambda: answers.append(posted(apart.service, tmp_path / "hours.flac")))
    before = apart.hearing.pid
    assert before
    asking.start()
    while not reads(before):
        sleep(0.01)
    os.kill(before, signal.SIGKILL)
    asking.join()
    assert (answers[0].status_code, answers[0].json()["status"]) == (503, "UNAVAILABLE")
    assert answers[0].json()["detail"] == "what heard this file broke; send it again"
    assert posted(apart.service, tmp_path / "x.wav").status_code == 200
    assert apart.hearing.pid not in (None, before)


def reads(pid: int) -> bool:
    """Whether a process has a file open that was sent."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            if "memfd:sound" in str(path.readlink()):
                return True
    return False
