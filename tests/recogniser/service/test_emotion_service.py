"""A stream is told what the file's result holds, whatever its neighbours are told."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.listening.listener import Listener
from recogniser.monitoring.segment_log import read_logs
from recogniser.service import emotion_pb2 as proto
from recogniser.service.kept_scores import KeptScores
from recogniser.service.live_stream import Portion
from recogniser.service.scoring import hear_together
from recogniser.sound.pcm import Block
from tests.recogniser.service.serving import (
    PATIENT,
    Running,
    assert_same,
    client,
    in_windows,
    messages,
    of_the_file,
    running,
    segments,
)
from tests.recogniser.speech import RATE, talk

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def service(model: ExportedModel) -> Iterator[Running]:
    with running(model) as found:
        yield found


@pytest.mark.parametrize("size", [137, 1600, 160_000])
def test_a_stream_is_the_file(model: ExportedModel, service: Running, tmp_path: Path, size: int) -> None:
    with client(service) as stub:
        found = list(stub.StreamingRecognize(messages(talk(0), size)))
    assert_same(segments(found), of_the_file(model, tmp_path, talk(0)))
    assert found[-1].HasField("done")
    assert found[-1].audio_processed == pytest.approx(len(talk(0)) / RATE)


def test_the_proto_gives_the_modules(tmp_path: Path) -> None:
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    place = "recogniser/service/emotion.proto"
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, place], cwd=ROOT, check=True)
    made = sorted((tmp_path / "recogniser/service").iterdir())
    assert [path.name for path in made] == ["emotion_pb2.py", "emotion_pb2.pyi", "emotion_pb2_grpc.py"]
    for path in made:
        assert path.read_text() == (ROOT / "recogniser/service" / path.name).read_text(), path.name


def test_sound_that_is_there_already(model: ExportedModel, service: Running, tmp_path: Path) -> None:
    pcm = np.round(np.stack([talk(0), talk(0)], axis=1) * 32767).astype("<i2")
    soundfile.write(tmp_path / "x.wav", pcm, RATE, subtype="PCM_16")
    expected = recognise(model, tmp_path / "x.wav", RecogniseSettings(listen=ListenSettings(adapt="none"))).segments
    config = proto.StreamingConfig(sample_rate_hertz=RATE, channels=2, adapt=proto.NONE, speaker="ann", unsure=1)
    with client(service) as stub:
        found = stub.Recognize(proto.RecognizeRequest(config=config, audio=pcm.tobytes()))
        said = stub.GetModel(proto.GetModelRequest())
    assert {own.speaker for own in found.segments} == {"ann"}
    assert_same(list(found.segments), [replace(own, emotion="") for own in expected])
    assert found.seconds == pytest.approx(len(pcm) / RATE)
    assert (list(said.classes), said.sha256) == (model.said.classes, model.said.sha256)


def test_two_streams_at_once_keep_apart(model: ExportedModel) -> None:
    """Each is told what it is told alone, windows and all, though the other is 20 times as loud."""
    loud = np.clip(20 * talk(1), -1, 1)
    with running(model, limits=PATIENT) as service, client(service) as stub:
        alone = list(stub.StreamingRecognize(in_windows(talk(0))))
        loudly = stub.StreamingRecognize(in_windows(loud, channels=1))
        beside = list(stub.StreamingRecognize(in_windows(talk(0))))
        assert len(segments(loudly)) == 2
    windows = [own for own in alone if own.HasField("window")]
    assert len(windows) > 5
    assert [scores(own) for own in beside] == [pytest.approx(scores(own), abs=1e-6) for own in alone]


def scores(message: proto.StreamingRecognizeResponse) -> list[float]:
    own = message.segment if message.HasField("segment") else message.window
    return [own.start, own.end, *(score.probability for score in own.scores)]


def test_when_too_much_waits_windows_are_skipped_and_no_sound(
    model: ExportedModel, service: Running, tmp_path: Path
) -> None:
    sound = np.concatenate([talk(0), talk(0)])
    with client(service) as stub:
        found = list(stub.StreamingRecognize(messages(sound, len(sound), interim_results=True)))
    assert_same(segments(found), of_the_file(model, tmp_path, sound))
    lags = [own.lag for own in found if own.HasField("lag")]
    assert lags[0].waiting == pytest.approx(len(sound) / RATE)
    assert all(own.waiting > 2 for own in lags)
    assert sum(own.skipped for own in lags) > 5
    assert any(own.HasField("window") for own in found)  # of the last two seconds


def test_a_stream_that_breaks_breaks_alone(model: ExportedModel) -> None:
    class Broken(Listener):
        def take(self, block: Block, *, last: bool = False) -> None:
            raise ZeroDivisionError

    whole = Portion(block=talk(0)[:, None], last=True, windows=False, waiting=0)
    settings = ListenSettings()
    listeners = [kind(model, settings, RATE, 1) for kind in (Broken, Listener)]
    broken, healthy = hear_together(model, [(own, whole) for own in listeners])
    assert (broken.failed, healthy.failed) == (True, False)
    assert [own.WhichOneof("event") for own in healthy.messages] == ["segment", "segment", "done"]


def test_scores_are_kept_and_no_sound(model: ExportedModel, tmp_path: Path) -> None:
    held_out = dict.fromkeys(model.said.classes, (3, 4))
    kept = KeptScores(tmp_path / "scores", dataclasses.replace(model, held_out=held_out))
    with running(model, kept=kept) as service, client(service) as stub:
        found = segments(stub.StreamingRecognize(messages(talk(0), RATE, speaker="ann")))
    logs = read_logs(tmp_path / "scores")
    assert [own.id for own in logs.segments] == [own.id for own in found]
    assert len({own.id for own in found}) == 2
    assert logs.held_out == held_out
    for own, other in zip(logs.segments, found, strict=True):
        assert own.scores == pytest.approx({each.emotion: each.probability for each in other.scores}, abs=1e-4)
        assert 0.3 < (own.drift or 0) < 3
    whole = b"".join(path.read_bytes() for path in (tmp_path / "scores").iterdir())
    assert len(whole) < 1000
    assert b"ann" not in whole
