"""A file is a stream that does not wait; adapted to all of it where that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.learning import saved_model
from common.learning.prediction import Listener as Predicting
from common.learning.prediction import listening, predict, read_file
from recogniser.export.exporting import export
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, is_broken, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.listening.listener import Listener
from recogniser.listening.recording_result import Segment
from simulations.hearing.no_speech import no_speech
from tests.recogniser.saved import save_model
from tests.recogniser.speech import RATE, Signal, talk


def written(path: Path, sound: Signal, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, sound, rate, subtype=subtype)
    return path


def settings(**listen: object) -> RecogniseSettings:
    return RecogniseSettings(listen=ListenSettings(**listen))  # type: ignore[arg-type]


@pytest.mark.parametrize("adapt", ["running", "none"])
@pytest.mark.parametrize("coded", ["wav", "mulaw", "stereo"])
def test_a_file_is_the_stream(model: ExportedModel, tmp_path: Path, adapt: str, coded: str) -> None:
    sound, rate = talk(0), 8000 if coded == "mulaw" else RATE
    if coded == "mulaw":
        sound = sound[::2]
    if coded == "stereo":
        sound = np.stack([sound, np.roll(sound, 300)], axis=1)
    path = written(tmp_path / "x.wav", sound, rate, "ULAW" if coded == "mulaw" else "PCM_16")
    heard, _ = soundfile.read(path, dtype="float32", always_2d=True)
    listener = Listener(model, ListenSettings(adapt=adapt), rate, heard.shape[1])
    events = [event for at in range(0, len(heard), 1000) for event in listener.hear(heard[at : at + 1000])]
    expected = [event for event in [*events, *listener.end()] if isinstance(event, Segment)]
    found = recognise(model, path, settings(adapt=adapt)).segments
    assert [(own.start, own.end, own.heard) for own in found] == [(own.start, own.end, own.heard) for own in expected]
    for own, other in zip(found, expected, strict=True):
        assert own.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_adapted_to_all_of_a_recording_each_segment_has_heard_as_much(model: ExportedModel, tmp_path: Path) -> None:
    path = written(tmp_path / "x.wav", talk(0))
    found = recognise(model, path, settings(adapt="recording"))
    running = recognise(model, path, settings(adapt="running"))
    assert len({own.heard for own in found.segments}) == 1
    assert found.segments[0].heard > running.segments[-1].heard > 0
    assert [(own.start, own.end) for own in found.segments] == [(own.start, own.end) for own in running.segments]
    assert found.segments[0].probabilities != running.segments[0].probabilities


def test_channels_apart_are_files_of_their_own(model: ExportedModel, tmp_path: Path) -> None:
    one, other = talk(0), np.resize(talk(1), len(talk(0)))
    both = recognise(
        model, written(tmp_path / "x.wav", np.stack([one, other], axis=1)), settings(adapt="recording", separate=True)
    )
    for channel, sound in enumerate((one, other)):
        own = [replace(segment, channel=None) for segment in both.segments if segment.channel == channel]
        assert own == recognise(model, written(tmp_path / "y.wav", sound), settings(adapt="recording")).segments
    assert both.segments == sorted(both.segments, key=lambda segment: segment.start)


def test_the_trajectory_lies_on_the_hops(model: ExportedModel, tmp_path: Path) -> None:
    found = recognise(model, written(tmp_path / "x.wav", talk(0)), settings(hop=0.25))
    trajectory = found.trajectory
    assert trajectory.times == pytest.approx([0.25 * (1 + number) for number in range(len(trajectory.times))])
    assert trajectory.times[-2] < found.seconds <= trajectory.times[-1]
    assert sum(trajectory.speech) * 0.25 == pytest.approx(found.summary.speech, abs=0.01)
    spoken = [value is not None for value in trajectory.probabilities["anger"]]
    assert sum(spoken) > 8
    assert all(share > 0 for share, scored in zip(trajectory.speech, spoken, strict=True) if scored)
    for own in found.segments:  # after half a second of speech there is a value in each hop
        first, last = int((own.start + 0.5) / 0.25) + 1, int(own.end / 0.25)
        assert all(spoken[first:last])


@pytest.mark.parametrize("kind", ["silence", "pink"])
def test_no_speech_is_a_result_too(model: ExportedModel, tmp_path: Path, kind: str) -> None:
    found = recognise(model, written(tmp_path / "x.wav", no_speech(kind, 4, -30)), RecogniseSettings())
    assert (found.segments, found.summary.speech, found.problems) == ([], 0.0, [])
    assert found.trajectory.probabilities["anger"] == [None] * 8


def test_what_is_wrong_is_told_and_the_rest_is_heard(model: ExportedModel, tmp_path: Path) -> None:
    sound = talk(0).copy()
    sound[RATE // 4] = np.nan
    found = recognise(model, written(tmp_path / "x.wav", sound, subtype="FLOAT"), RecogniseSettings())
    assert [problem.kind for problem in found.problems] == ["non-finite"]
    assert is_broken(found)
    assert len(found.segments) == 2
    lost = recognise(model, tmp_path / "y.wav", RecogniseSettings())
    assert ([problem.kind for problem in lost.problems], lost.seconds) == (["unreadable"], 0.0)


def test_a_model_of_other_features_at_another_rate(tmp_path: Path) -> None:
    weights = save_model(tmp_path / "run", features__sampling_rate=8000, features__stack=2, features__hop=16)
    export(weights, tmp_path / "export")
    model = ExportedModel.load(tmp_path / "export")
    path = written(tmp_path / "x.wav", np.asarray(np.repeat(talk(0), 3), np.float32), 48_000)
    found = recognise(model, path, settings(adapt="running")).segments
    listener = Listener(model, ListenSettings(), 48_000, 1)
    heard, _ = soundfile.read(path, dtype="float32", always_2d=True)
    events = [event for at in range(0, len(heard), 777) for event in listener.hear(heard[at : at + 777])]
    assert [event for event in [*events, *listener.end()] if isinstance(event, Segment)] == found
    assert len(found) >= 2


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("utterance", "global")]


@pytest.mark.parametrize("normalise", ["speaker", *SLOW])
def test_a_stretch_by_itself_is_what_predict_says(tmp_path: Path, normalise: str) -> None:
    weights = save_model(tmp_path / "run", data__normalise=normalise)
    export(weights, tmp_path / "export")
    path = written(tmp_path / "x.wav", talk(0)[RATE : 4 * RATE - 100])  # as many frames as the segment has
    saved = saved_model.load(weights)
    model = ExportedModel.load(tmp_path / "export")
    (own,) = recognise(model, path, settings(adapt="none", vad="none")).segments
    assert own.probabilities == pytest.approx(predict(saved, path), abs=1e-4)
    (own,) = recognise(model, path, settings(adapt="recording", vad="none")).segments
    with listening(saved, None, lambda _: None) as listener:
        assert isinstance(listener, Predicting)
        (told,) = listener.together([lambda say: read_file(saved, path, say)], lambda *_: None)
    assert own.probabilities == pytest.approx(told.probabilities(), abs=1e-4)
