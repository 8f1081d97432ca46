from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from recogniser.sound.hysteresis import LONGEST, SECONDS, Hysteresis, OpenSegment


def segments(probabilities: list[float], speakers: Sequence[str | None] | None = None) -> list[tuple[int, int]]:
    """Where each lies, in frames."""
    hysteresis, found = Hysteresis(), list[OpenSegment]()
    for probability, speaker in zip(probabilities, speakers or [None] * len(probabilities), strict=True):
        found += hysteresis.feed(probability, speaker)
    return [(own.start, own.end) for own in [*found, *hysteresis.end()]]


def test_it_opens_sure_goes_on_likely_and_closes_after_a_pause() -> None:
    likely, silent = [0.4] * 5, [0.1] * 10  # 10 frames are 0.32 s
    assert segments([*likely, 0.6, *likely, *silent, *likely]) == [(5, 11)]


def test_a_short_pause_closes_nothing_and_the_last_one_is_left_out() -> None:
    assert segments([0.9, *[0.0] * 9, 0.9, *[0.0] * 4]) == [(0, 11)]
    assert segments([0.9, *[0.0] * 10, 0.9]) == [(0, 1), (11, 12)]


def test_long_speech_goes_on_as_the_next_segment() -> None:
    found = segments([0.9] * 1000)
    assert [first[1] == second[0] for first, second in pairwise(found)] == [True] * (len(found) - 1)
    assert found[0][0] == 0
    assert found[-1][1] == 1000
    assert all((end - start) * SECONDS <= LONGEST < (end - start + 1) * SECONDS for start, end in found[:-1])


def test_another_speaker_is_another_segment() -> None:
    assert segments([0.9] * 6, ["a"] * 3 + ["b"] * 3) == [(0, 3), (3, 6)]
    assert segments([0.9] * 3 + [0.4] * 3, ["a"] * 3 + ["b"] * 3) == [(0, 3)]  # likely is not sure enough to open
