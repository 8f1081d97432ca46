"""A stream is told what the file's result holds; bad clients are told what is wrong, and harm nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.listening.recording_result import Segment
from recogniser.service import emotion_pb2 as proto
from tests.recogniser.service.serving import Running, client, messages, running, segments
from tests.recogniser.speech import RATE, Signal, talk


@pytest.fixture(scope="module")
def service(model: ExportedModel) -> Iterator[Running]:
    with running(model) as found:
        yield found


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


@pytest.mark.parametrize("size", [137, 1600, 160_000])
def test_a_stream_is_the_file(model: ExportedModel, service: Running, tmp_path: Path, size: int) -> None:
    with client(service) as stub:
        found = list(stub.StreamingRecognize(messages(talk(0), size)))
    assert_same(segments(found), of_the_file(model, tmp_path, talk(0)))
    assert found[-1].HasField("done")
    assert found[-1].audio_processed == pytest.approx(len(talk(0)) / RATE)
