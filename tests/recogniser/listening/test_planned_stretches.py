"""When a stream's speech is scored, and that it begins and ends, from a gate's probabilities; each frame is 32 ms."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import UsageError
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import Due, ListenSettings
from recogniser.listening.listener import Activity, Event, Listener, stretches_together
from recogniser.listening.planned_stretches import Boundary, Plan, Planner
from recogniser.sound.turns import Turn, Turns
from tests.recogniser.speech import RATE, talk

Found = list[Plan | Boundary]


def planned(probabilities: list[float], turns: Turns | None = None, **asked: float) -> Found:
    planner = Planner(ListenSettings(**asked).cadence(boundaries=True), turns)  # type: ignore[arg-type]
    return [*(own for each in probabilities for own in planner.hear(each)), *planner.end()]


def boundaries(found: Found) -> list[tuple[int, bool]]:
    return [(own.end, own.begins) for own in found if isinstance(own, Boundary)]


def test_speech_begins_where_it_is_sure_and_ends_where_it_was_last_likely() -> None:
    found = planned([0.4, 0.9, *[0.4] * 20, *[0.1] * 12])
    assert boundaries(found) == [(32, True), (22 * 32, False)]
    assert isinstance(found[0], Boundary)
    assert [type(own) for own in found[-2:]] == [Boundary, Plan]  # first that it ended, then what it was


def test_what_is_too_short_to_be_scored_begins_and_ends_too() -> None:
    found = planned([0.9] * 5 + [0.0] * 12)
    assert boundaries(found) == [(0, True), (160, False)]
    assert len(found) == 2


def test_another_speakers_turn_is_another_stretch_of_speech() -> None:
    turns = Turns([Turn(start=0, end=0.32, speaker="ann"), Turn(start=0.32, end=9, speaker="bob")])
    found = [own for own in planned([0.9] * 20, turns) if isinstance(own, Boundary)]
    assert [(own.end, own.begins, own.speaker) for own in found] == [
        (0, True, "ann"), (320, False, "ann"), (320, True, "bob"), (640, False, "bob")
    ]  # fmt: skip


@pytest.mark.parametrize(("least", "scored"), [(0.1, [128, 320]), (0.2, [224, 320]), (0.4, [])])
def test_as_much_speech_is_scored_as_is_asked_for(least: float, scored: list[int]) -> None:
    """Ten frames: the first score is due once so much has been heard, and then at every hop."""
    found = [own for own in planned([0.9] * 10 + [0.0] * 12, least=least) if isinstance(own, Plan)]
    assert [-(-own.end // 32) * 32 for own in found] == scored
    assert [own.final for own in found] == [False, True][: len(found)]


@pytest.mark.parametrize(("pause", "ends"), [(0.1, [(320, False), (480, True)]), (0.2, [])])
def test_a_pause_closes_as_long_as_is_asked_for(pause: float, ends: list[tuple[int, bool]]) -> None:
    """Five frames without, 160 ms."""
    found = boundaries(planned([0.9] * 10 + [0.0] * 5 + [0.9] * 10, pause=pause))
    assert found == [(0, True), *ends, (800, False)]


def test_a_windows_speech_is_its_frames_mean() -> None:
    found = planned([0.6] * 10 + [1.0] * 10, window=0.5, hop=0.064)
    growing = [own for own in found if isinstance(own, Plan) and not own.final]
    assert growing[0].end == 500
    assert growing[0].speech == pytest.approx((10 * 0.6 + 6 * 1.0) / 16)
    last = growing[-1]
    frames = range(last.start // 32, -(-last.end // 32))
    assert last.start > 0
    assert last.speech == pytest.approx(np.mean([0.6 if frame < 10 else 1.0 for frame in frames]))


def test_it_is_told_in_its_place_however_the_sound_is_cut(model: ExportedModel) -> None:
    def told(size: int) -> list[Event | Activity]:
        settings = ListenSettings(window=1.0, hop=0.25, pause=0.1, least=0.2)
        listener, found = Listener(model, settings, RATE, 1, activity=True), list[Event | Activity]()
        sound = np.append(talk(0), talk(1))[:, None]
        for at in range(0, len(sound), size):
            listener.take(sound[at : at + size], last=at + size >= len(sound))
            due: list[Due] = stretches_together(model, [listener])[0]
            found += listener.tell(due, iter(model.score([own.window for own in due if not isinstance(own, Boundary)])))
        return found

    whole = told(10**9)
    activity = [own for own in whole if isinstance(own, Activity)]
    assert [own.speaking for own in activity] == [True, False] * (len(activity) // 2)
    assert len(activity) >= 8
    for size in (137, 1600):
        assert [(type(own), getattr(own, "start", None)) for own in told(size)] == [
            (type(own), getattr(own, "start", None)) for own in whole
        ]
        assert [own for own in told(size) if isinstance(own, Activity)] == activity


@pytest.mark.parametrize(("asked", "said"), [({"least": 3.0}, "--least 3: exp"), ({"pause": 0.0}, "--pause 0: exp")])
def test_what_cannot_be_is_a_wrong_option(asked: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ListenSettings(**asked)  # type: ignore[arg-type]
