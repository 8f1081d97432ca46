"""Sound of any rate, encoding and number of channels is over gRPC and over a WebSocket what its file is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from common.audio.reading import resample
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.service import emotion_pb2 as proto
from tests.recogniser.service.serving import PATIENT, Running, assert_same, audio, client, config, segments
from tests.recogniser.speech import RATE, talk
from tests.recogniser.web.visiting import END, connected, say, told, visited

SUBTYPES = {"LINEAR16": "PCM_16", "FLOAT32": "FLOAT", "MULAW": "ULAW"}
CUT = 997  # samples in a message


@pytest.fixture(scope="module")
def service(model: ExportedModel) -> Iterator[Running]:
    with visited(model, limits=PATIENT) as found:
        yield found


def sound_of(path: Path, rate: int, channels: int, encoding: str) -> bytes:
    """Write a file of voices, another in each channel; returns its samples as they lie in it."""
    voices = [np.resize(talk(number), len(talk(0))) for number in range(channels)]
    at_rate = [resample(torch.from_numpy(voice), RATE, rate).numpy() for voice in voices]
    sound = np.clip(np.stack(at_rate, axis=1), -1, 1)
    soundfile.write(path, sound, rate, subtype=SUBTYPES[encoding])
    if encoding == "FLOAT32":
        return bytes(sound.astype("<f4"))
    with soundfile.SoundFile(path) as file:
        if encoding == "LINEAR16":
            return bytes(file.read(dtype="int16").astype("<i2"))
    whole = path.read_bytes()
    start = whole.index(b"data") + 8
    return whole[start : start + sound.size]


@pytest.mark.parametrize(
    ("rate", "channels", "encoding"),
    [
        (8_000, 1, "MULAW"),
        (8_000, 2, "LINEAR16"),
        (16_000, 2, "MULAW"),
        (22_050, 1, "LINEAR16"),
        (44_100, 2, "FLOAT32"),
        (48_000, 1, "MULAW"),
        (48_000, 2, "LINEAR16"),
    ],
)
def test_a_stream_is_its_file(
    model: ExportedModel, service: Running, tmp_path: Path, rate: int, channels: int, encoding: str
) -> None:
    pcm = sound_of(tmp_path / "x.wav", rate, channels, encoding)
    expected = recognise(model, tmp_path / "x.wav", RecogniseSettings(listen=ListenSettings(adapt="running"))).segments
    size = CUT * channels * {"LINEAR16": 2, "FLOAT32": 4, "MULAW": 1}[encoding]
    parts = [pcm[at : at + size] for at in range(0, len(pcm), size)]
    asked = {"sample_rate_hertz": rate, "channels": channels}
    with client(service) as stub:
        first = config(encoding=getattr(proto, encoding), **asked)
        assert_same(segments(stub.StreamingRecognize(iter([first, *map(audio, parts)]))), expected)
    with connected(service) as socket:
        say(socket, json.dumps({**asked, "encoding": encoding}), *parts, END)
        events, code, _ = told(socket)
    found = [own for own in events if own["type"] == "segment"]
    assert (code, len(found)) == (1000, len(expected))
    for own, other in zip(found, expected, strict=True):
        assert (own["start"], own["end"], own["emotion"]) == (other.start, other.end, other.emotion)
        assert own["probabilities"] == pytest.approx(other.probabilities, abs=1e-5)
