from __future__ import annotations

from dataclasses import replace

import pytest

from common.errors import UsageError
from recogniser.listening.recording_result import Segment
from recogniser.listening.unsure import Unsure, leave_out


def segment(confidence: float) -> Segment:
    found = {"anger": confidence, "neutral": 1 - confidence}
    return Segment(
        start=0, end=1, channel=None, speaker=None, emotion="anger", confidence=confidence, probabilities=found, heard=0
    )


def test_below_a_confidence() -> None:
    assert [Unsure(below=0.5).named("anger", own) for own in (0.4, 0.5, 0.6)] == [None, "anger", "anger"]


def test_the_least_sure_share_of_a_recording() -> None:
    segments = [segment(confidence) for confidence in (0.9, 0.3, 0.6, 0.3, 0.8)]
    assert leave_out(segments, 0.2) == [*segments[:3], replace(segments[3], emotion=None), segments[4]]
    assert [own.emotion for own in leave_out(segments, 0.6)] == ["anger", None, None, None, "anger"]
    assert leave_out(segments, 0.19) == segments


def test_live_the_threshold_follows_what_was_heard() -> None:
    unsure = Unsure(leave=0.5)
    assert [unsure.named("anger", own) for own in (0.6, 0.5, 0.7, 0.55)] == ["anger", None, "anger", None]


@pytest.mark.parametrize(
    "asked", [{"below": -0.1}, {"leave": 1.1}, {"below": float("nan")}, {"below": 0.5, "leave": 0.5}]
)
def test_thresholds_that_cannot_be(asked: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Unsure(**asked)
