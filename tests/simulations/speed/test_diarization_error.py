from __future__ import annotations

import pytest

from simulations.speed.diarization_error import Span, diarization_error


def spans(*own: tuple[float, float, str | None]) -> list[Span]:
    return [Span(start=start, end=end, emotion=emotion) for start, end, emotion in own]


def test_each_second_is_missed_false_confused_or_right() -> None:
    truth = spans((1, 3, "anger"), (4, 6, "sadness"))
    said = spans((1.5, 3.25, "anger"), (4, 5, "anger"), (5, 6, "sadness"))
    found = diarization_error(truth, said)
    assert (found.missed, found.false, found.confused, found.speech) == (0.5, 0.25, 1.0, 4.0)
    assert found.as_json() == pytest.approx({"eder": 1.75 / 4, "missed": 0.125, "false": 0.0625, "confused": 0.25})
    assert (found + diarization_error(truth, truth)).as_json()["eder"] == pytest.approx(1.75 / 8)


def test_what_is_unsure_is_confused_and_what_is_not_heard_missed() -> None:
    truth = spans((0, 2, "anger"))
    assert diarization_error(truth, spans((0, 2, None))).as_json()["confused"] == 1.0
    assert diarization_error(truth, []).as_json()["missed"] == 1.0
