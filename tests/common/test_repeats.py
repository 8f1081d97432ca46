from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.repeats import Repeats


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_known_is_counted_and_told_when_the_window_has_passed() -> None:
    clock = Clock()
    repeats = Repeats(window=60, most=10, clock=clock)
    assert [repeats.admit(event) for event in "aaba"] == [True, False, True, False]
    clock.now = 59
    assert not repeats.due
    clock.now = 60
    assert (repeats.due, repeats.counted) == (True, 2)
    assert repeats.admit("a")


def test_what_could_not_be_told_is_told_the_next_time() -> None:
    repeats = Repeats()
    with pytest.raises(OSError, match="full"), repeats.telling("a"):
        raise OSError("full")
    with repeats.telling("a") as told:
        assert told


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 30)), max_size=200))
def test_however_often_and_however_different_so_many_are_told_within_a_window(events: list[tuple[int, int]]) -> None:
    clock, told, counted = Clock(), list[float](), 0
    repeats = Repeats(window=60, most=5, clock=clock)
    for event, later in events:
        clock.now += later
        if repeats.admit(event):
            told.append(clock.now)
        else:
            counted += 1
        assert len(repeats._told) <= 5
    assert all(sum(start <= when < start + 60 for when in told) <= 5 for start in told)
    assert repeats.counted == counted
    assert len(told) + counted == len(events)
