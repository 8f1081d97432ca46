"""A stream is told what the file's result holds; bad clients are told what is wrong, and harm nobody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import sleep

import grpc
import numpy as np
import pytest
import soundfile

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings, Stretch
from recogniser.listening.listener import Listener
from recogniser.listening.recording_result import Segment
from recogniser.monitoring.segment_log import read_logs
from recogniser.service import emotion_pb2 as proto
from recogniser.service.kept_scores import KeptScores
from recogniser.service.live_stream import Portion
from recogniser.service.scoring import hear_together
from recogniser.service.stream_limits import StreamLimits
from recogniser.sound.pcm import Block
from tests.recogniser.service.serving import Running, audio, client, config, messages, running, segments
from tests.recogniser.speech import RATE, Signal, talk

ROOT = Path(__file__).parents[3]


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


def test_two_streams_at_once_keep_apart(model: ExportedModel, service: Running) -> None:
    """Each is told what it is told alone, windows and all, though the other is 20 times as loud."""
    loud = np.clip(20 * talk(1), -1, 1)
    with client(service) as stub:
        alone = list(stub.StreamingRecognize(slowly(talk(0))))
        loudly = stub.StreamingRecognize(slowly(loud, channels=1))
        beside = list(stub.StreamingRecognize(slowly(talk(0))))
        assert len(segments(loudly)) == 2
    windows = [own for own in alone if own.HasField("window")]
    assert len(windows) > 5
    assert [scores(own) for own in beside] == [pytest.approx(scores(own), abs=1e-6) for own in alone]


def slowly(sound: Signal, **more: int) -> Iterator[proto.StreamingRecognizeRequest]:
    """So that no more than a second of it waits."""
    for number, message in enumerate(messages(sound, RATE // 10, interim_results=True, hop=0.25, **more)):
        sleep(0.02 if number % 5 == 0 else 0)
        yield message


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
        healthy = stub.StreamingRecognize(slowly(talk(0)))
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
        for _ in range(100):
            with suppress(grpc.RpcError):
                assert len(segments(stub.StreamingRecognize(messages(talk(0), RATE)))) == 2
                break
            sleep(0.05)
        else:
            pytest.fail("its place is not free again")


def test_sound_that_waits_too_long_ends_its_stream(model: ExportedModel) -> None:
    with running(model, limits=StreamLimits(most_waiting=0.02)) as service, client(service) as stub:
        with pytest.raises(grpc.RpcError, match="comes faster than this machine hears it") as refused:
            list(stub.StreamingRecognize(messages(talk(0), len(talk(0)))))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_stream_that_breaks_breaks_alone(model: ExportedModel) -> None:
    class Broken(Listener):
        def stretches(self, block: Block) -> list[Stretch]:
            raise ZeroDivisionError

    whole = Portion(block=talk(0)[:, None], last=True, windows=False, waiting=0)
    settings = ListenSettings()
    listeners = [kind(model, settings, RATE, 1) for kind in (Broken, Listener)]
    broken, healthy = hear_together(model, [(own, whole) for own in listeners])
    assert (broken.failed, healthy.failed) == (True, False)
    assert len(healthy.messages) == 2


def test_scores_are_kept_and_no_sound(model: ExportedModel, tmp_path: Path) -> None:
    kept = KeptScores(tmp_path / "scores", model)
    with running(model, kept=kept) as service, client(service) as stub:
        found = segments(stub.StreamingRecognize(messages(talk(0), RATE, speaker="ann")))
    logs = read_logs(tmp_path / "scores")
    assert [own.id for own in logs.segments] == [own.id for own in found]
    assert len({own.id for own in found}) == 2
    for own, other in zip(logs.segments, found, strict=True):
        assert own.scores == pytest.approx({each.emotion: each.probability for each in other.scores}, abs=1e-4)
        assert 0.3 < (own.drift or 0) < 3
    whole = b"".join(path.read_bytes() for path in (tmp_path / "scores").iterdir())
    assert len(whole) < 1000
    assert b"ann" not in whole
