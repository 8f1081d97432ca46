"""A stream is what the whole sound is, however it is cut, at any rate; silence is in nothing that is scored."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from common.audio.reading import resample
from common.errors import UsageError
from recogniser.export.exporting import export
from recogniser.listening.exported_model import ExportedModel, Window, _groups
from recogniser.listening.lane import Lane, ListenSettings, Stretch
from recogniser.listening.listener import Event, Growing, Listener
from recogniser.listening.recording_result import Segment
from recogniser.listening.running_sums import Sums, adapted
from recogniser.listening.unsure import Unsure
from recogniser.sound.turns import Turn, Turns
from simulations.hearing.no_speech import no_speech
from tests.recogniser.speech import RATE, Signal, talk

LIVE = ListenSettings()


def at_rate(sound: Signal, rate: int) -> Signal:
    return np.asarray(resample(torch.from_numpy(sound), RATE, rate).numpy(), np.float32)


def events(listener: Listener, sound: Signal, size: int) -> list[Event]:
    block = sound if sound.ndim == 2 else sound[:, None]
    found = [event for at in range(0, len(block), size) for event in listener.hear(block[at : at + size])]
    return [*found, *listener.end()]


def stretches(listener: Listener, sound: Signal) -> list[Stretch]:
    due = [*listener.stretches(sound[:, None]), *listener.last_stretches()]
    return [own for own in due if isinstance(own, Stretch)]


def assert_same(found: list[Event], expected: list[Event]) -> None:
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert (type(one), one.start, one.end, one.heard) == (type(other), other.start, other.end, other.heard)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_chunks_of_any_size_are_the_whole(model: ExportedModel, rate: int) -> None:
    sound = at_rate(talk(0), rate)
    settings = ListenSettings(window=1.0, hop=0.25)
    whole = events(Listener(model, settings, rate, 1), sound, 10 * rate)
    for size in (137, 1600, rate):
        assert_same(events(Listener(model, settings, rate, 1), sound, size), whole)


def test_sample_by_sample(model: ExportedModel) -> None:
    sound = talk(0)[RATE // 2 : 2 * RATE]
    whole = events(Listener(model, LIVE, RATE, 1), sound, len(sound))
    assert_same(events(Listener(model, LIVE, RATE, 1), sound, 1), whole)


def test_it_hears_each_utterance_and_not_the_gaps(model: ExportedModel) -> None:
    found = events(Listener(model, LIVE, RATE, 1), talk(0), 1600)
    segments = [own for own in found if isinstance(own, Segment)]
    assert len(segments) == 2
    assert segments[0].start == pytest.approx(0.8, abs=0.15)
    assert segments[-1].end == pytest.approx(len(talk(0)) / RATE - 0.8, abs=0.15)
    assert all(sum(own.probabilities.values()) == pytest.approx(1, abs=1e-5) for own in found)
    assert all(own.confidence == max(own.probabilities.values()) for own in segments)


def test_a_window_grows_from_the_onset_and_then_looks_back_so_far(model: ExportedModel) -> None:
    found = events(Listener(model, ListenSettings(window=1.0, hop=0.25), RATE, 1), talk(0), 1600)
    first = next(own for own in found if isinstance(own, Segment))
    growing = [own for own in found if isinstance(own, Growing) and own.end <= first.end]
    assert growing[0].end == pytest.approx(first.start + 0.5)
    assert all(later.due - own.due == pytest.approx(0.25) for own, later in pairwise(growing))
    assert all(own.start == pytest.approx(max(first.start, own.end - 1.0)) for own in growing)


def test_what_is_scored_is_speech_and_nothing_else(model: ExportedModel) -> None:
    sound = talk(0)
    frames = model.frames(sound)
    found = stretches(Listener(model, LIVE, RATE, 1), sound)
    for own in found:
        np.testing.assert_array_equal(own.window.frames, frames[-(-own.start // 10) : -(-own.end // 10)])
    finals = [own for own in found if own.final]
    for own in found:
        assert any(whole.start <= own.start and own.end <= whole.end for whole in finals)


def test_the_current_segment_is_left_out_of_what_was_heard(model: ExportedModel) -> None:
    first, second = (own for own in stretches(Listener(model, LIVE, RATE, 1), talk(0)) if own.final)
    assert first.window.scaling is model.prior
    assert first.heard == 0
    speech = model.layout.speech(model.layout.rows(first.window.frames))
    expected = adapted(model.prior, Sums.of(speech))
    np.testing.assert_array_equal(second.window.scaling.mean, expected.mean)
    np.testing.assert_array_equal(second.window.scaling.deviation, expected.deviation)
    assert second.heard == pytest.approx(len(speech) * 0.03)


def test_without_adapting_nothing_is_heard(model: ExportedModel) -> None:
    found = stretches(Listener(model, ListenSettings(adapt="none"), RATE, 1), talk(0))
    assert all(own.window.scaling is model.prior and own.heard == 0 for own in found)


def test_channels_apart_are_streams_of_their_own(model: ExportedModel) -> None:
    one, other = talk(0), np.resize(talk(1), len(talk(0)))
    both = events(Listener(model, ListenSettings(separate=True), RATE, 2), np.stack([one, other], axis=1), 1600)
    for channel, sound in enumerate((one, other)):
        own = [event for event in both if event.channel == channel]
        assert_same(own, events(Listener(model, LIVE, RATE, 1), sound, 1600))


def test_channels_mixed_are_their_mean(model: ExportedModel) -> None:
    stereo = np.stack([1.5 * talk(0), 0.5 * talk(0)], axis=1)
    mixed = events(Listener(model, LIVE, RATE, 2), stereo, 1600)
    assert_same(mixed, events(Listener(model, LIVE, RATE, 1), stereo.mean(axis=1), 1600))


def test_each_speaker_has_sums_of_its_own(model: ExportedModel) -> None:
    middle = len(talk(0)) / RATE / 2
    turns = Turns([Turn(start=0, end=middle, speaker="ann"), Turn(start=middle, end=99, speaker="bob")])
    finals = [own for own in stretches(Listener(model, LIVE, RATE, 1, turns=turns), talk(0)) if own.final]
    assert [own.speaker for own in finals] == ["ann", "bob"]
    assert [own.heard for own in finals] == [0, 0]
    # Nothing of one speaker's is heard as the other's, though they go on without a pause.
    turns = Turns([Turn(start=0, end=1.6, speaker="ann"), Turn(start=1.6, end=99, speaker="bob")])
    ann, bob, *_ = [own for own in stretches(Listener(model, LIVE, RATE, 1, turns=turns), talk(0)) if own.final]
    assert (ann.speaker, ann.end, bob.speaker, bob.start) == ("ann", 1600, "bob", 1600)


def test_neighbours_change_nothing(model: ExportedModel) -> None:
    windows = [own.window for own in stretches(Listener(model, LIVE, RATE, 1), talk(0))]
    loud = [Window(frames=30 * own.frames, scaling=own.scaling) for own in windows]
    alone = np.concatenate([model.score([own]) for own in windows])
    np.testing.assert_allclose(model.score([*windows, *loud * 5])[: len(windows)], alone, atol=1e-6)


def test_neighbours_change_nothing_in_eight_bits_either(exported: Path, tmp_path: Path) -> None:
    export(exported.parent / "run", tmp_path, eight_bits=True)
    test_neighbours_change_nothing(ExportedModel.load(tmp_path))


@pytest.mark.parametrize("kind", ["silence", "white", "hum", "melody"])
def test_what_is_no_speech_has_no_emotion(model: ExportedModel, kind: str) -> None:
    assert events(Listener(model, LIVE, RATE, 1), no_speech(kind, 6, -20), 1600) == []


def test_nothing_at_all(model: ExportedModel) -> None:
    assert Listener(model, LIVE, RATE, 1).end() == []


def test_what_is_unsure_has_no_name(model: ExportedModel) -> None:
    found = events(Listener(model, LIVE, RATE, 1, unsure=Unsure(below=1.0)), talk(0), 1600)
    assert {own.emotion for own in found if isinstance(own, Segment)} == {None}


def test_a_lane_forgets(model: ExportedModel) -> None:
    listener = Listener(model, LIVE, RATE, 1)
    lane: Lane = listener.lanes[0]
    for _ in range(5):
        events_before = listener.hear(np.concatenate([talk(0), np.zeros(RATE, np.float32)])[:, None])
        assert events_before
        assert not lane._sound._known
        assert not lane._plans
        assert lane._sound._length < 40 * model.hop


@pytest.mark.parametrize("more", [{"window": 0.1}, {"window": 11.0}, {"hop": 0.01}, {"hop": 3.0}, {"adapt": "all"}])
def test_settings_that_cannot_be(more: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="expected"):
        ListenSettings(**more)  # type: ignore[arg-type]


def test_windows_of_about_a_length_are_scored_together() -> None:
    assert _groups([50, 300, 50, 52, 51, 290], 32) == [[0, 2, 4, 3], [5, 1]]
    assert _groups([50] * 5, 2) == [[0, 1], [2, 3], [4]]
    assert _groups([], 32) == []
