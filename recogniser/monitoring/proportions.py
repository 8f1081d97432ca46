"""Shares that were counted: their intervals, and whether they changed from one day on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95  # of an interval that is shown


@dataclass(frozen=True, kw_only=True)
class Count:
    """So many of so many."""

    hits: int = 0
    of: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(hits=self.hits + other.hits, of=self.of + other.of)

    @property
    def share(self) -> float | None:
        """None of none."""
        return self.hits / self.of if self.of else None


@dataclass(frozen=True, kw_only=True)
class Change:
    """A share that is another one from a day on.

    Attributes:
        at: the first day's place among the days.
        before: all days until then.
        after: that day and the later ones.
        chance: how probable so large a change is where there is none.
    """

    at: int
    before: Count
    after: Count
    chance: float


def wilson(count: Count, level: float = LEVEL) -> tuple[float, float]:
    """The interval of a share (Wilson 1927, JASA 22); from 0 to 1 of none."""
    if not count.of:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf(0.5 + level / 2) ** 2
    middle = (count.hits + z2 / 2) / (count.of + z2)
    half = math.sqrt(z2 * (count.hits * (count.of - count.hits) / count.of + z2 / 4)) / (count.of + z2)
    return max(0.0, middle - half), min(1.0, middle + half)


def most_likely_change(days: Sequence[Count]) -> Change | None:
    """The day from which a share differs most from what it was before; None of fewer than two days.

    The likelihood ratio of two binomials against one, at its best day; its chance is that of chi² with one degree of
    freedom, times the days that were tried.
    """
    whole = sum(days, Count())
    best: Change | None = None
    before = Count()
    for at, day in enumerate(days[:-1], 1):
        before += day
        after = Count(hits=whole.hits - before.hits, of=whole.of - before.of)
        if not before.of or not after.of:
            continue
        ratio = 2 * (_likelihood(before) + _likelihood(after) - _likelihood(whole))
        chance = min(1.0, math.erfc(math.sqrt(max(0.0, ratio) / 2)) * (len(days) - 1))
        if best is None or chance < best.chance:
            best = Change(at=at, before=before, after=after, chance=chance)
    return best


def _likelihood(count: Count) -> float:
    misses = count.of - count.hits
    return sum(part * math.log(part / count.of) for part in (count.hits, misses) if part)
