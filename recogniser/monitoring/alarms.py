"""What broke, and since when: changes that chance does not explain, and figures below those of the test speakers.

A day has few labels and a log many days and classes: so all days before are compared with all days since, at the day
where they differ most, and each comparison has its part of ``CHANCE``. Segments of one conversation are alike, which
this does not know: what changes by less than ``LEAST`` is never an alarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Any

from recogniser.monitoring.daily_figures import Day
from recogniser.monitoring.proportions import Count, most_likely_change, wilson

CHANCE = 0.01  # of an alarm where nothing changed
LEAST = 0.1  # that a share changes by
LEAST_DRIFT = 0.2  # of the mean that a drift changes by
KINDS = ("recall", "accuracy", "share", "drift")  # in the order of what they say
FIRST_DAYS = 7  # by which the drift of later ones is judged


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something that broke.

    Attributes:
        day: the first on which it was so, as ``YYYY-MM-DD``.
        kind: ``accuracy``, ``recall``, ``share`` or ``drift``.
        name: the class; None for all.
        before: what it was, or on the test speakers.
        after: what it is since.
        held_out: whether it is compared with the test speakers.
    """

    day: str
    kind: str
    name: str | None
    before: float
    after: float
    held_out: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As the JSON has it."""
        numbers = {"before": round(self.before, 4), "after": round(self.after, 4)}
        return {"day": self.day, "kind": self.kind, "class": self.name, **numbers, "held_out": self.held_out}

    @property
    def line(self) -> str:
        """In words."""
        what = self.kind if self.name is None else f"{self.kind} of {self.name}"
        where = " on the test speakers" if self.held_out else ""
        return f"since {self.day}: {what} {self.after:.2f}, {self.before:.2f}{where or ' before'}"


@dataclass(frozen=True)
class _Watched:
    """A share, by day."""

    kind: str
    name: str | None
    counts: list[Count]

    def alarm(self, day: str, before: float, after: float, *, held_out: bool = False) -> Alarm:
        return Alarm(day=day, kind=self.kind, name=self.name, before=before, after=after, held_out=held_out)


def alarms(days: Sequence[Day], classes: Sequence[str], held_out: Mapping[str, tuple[int, int]]) -> list[Alarm]:
    """What broke, the first first.

    Args:
        days: in order.
        classes: of the model.
        held_out: hits and recordings of each class on the test speakers; empty where they aren't known.
    """
    chance = CHANCE / (2 * len(classes) + 2)
    known = {name: Count(hits=hits, of=of) for name, (hits, of) in held_out.items()}
    found: list[Alarm] = []
    for name in classes:
        found += _fallen(days, _Watched("recall", name, [day.recall[name] for day in days]), known.get(name), chance)
        found += _changed(days, _Watched("share", name, [day.share[name] for day in days]), chance)
    found += _fallen(days, _Watched("accuracy", None, [day.accuracy for day in days]), _all(known, days), chance)
    found += _drifted(days, chance)
    return sorted(found, key=lambda alarm: (alarm.day, KINDS.index(alarm.kind)))


def _all(known: Mapping[str, Count], days: Sequence[Day]) -> Count | None:
    """The test speakers' accuracy, if they had spoken as much of each class as those of the log."""
    weights = {name: sum(day.recall[name].of for day in days) for name in known}
    whole, of = sum(weights.values()), sum(count.of for count in known.values())
    if not whole or any(count.share is None for count in known.values()):
        return None
    share = sum(weight * (known[name].share or 0) for name, weight in weights.items()) / whole
    return Count(hits=round(share * of), of=of)


def _fallen(days: Sequence[Day], watched: _Watched, known: Count | None, chance: float) -> Iterator[Alarm]:
    """A share that falls, or that was below the test speakers' from the first day on."""
    found = next(_changed(days, watched, chance), None)
    if found and found.after < found.before:
        yield found
        return
    whole = sum(watched.counts, Count())
    if known and known.share is not None and whole.share is not None and whole.share <= known.share - LEAST:
        (_, high), (low, _) = wilson(whole, 1 - chance), wilson(known, 1 - chance)
        if high < low:
            day = next(str(day.day) for day, count in zip(days, watched.counts, strict=True) if count.of)
            yield watched.alarm(day, known.share, whole.share, held_out=True)


def _changed(days: Sequence[Day], watched: _Watched, chance: float) -> Iterator[Alarm]:
    change = most_likely_change(watched.counts)
    if change is None or change.chance >= chance:
        return
    before, after = change.before.share or 0.0, change.after.share or 0.0
    if abs(after - before) >= LEAST:
        yield watched.alarm(str(days[change.at].day), before, after)


def _drifted(days: Sequence[Day], chance: float) -> Iterator[Alarm]:
    """The first later day whose features lie further off, or closer, than the first days' by more than chance."""
    first = [day.drift for day in days[:FIRST_DAYS] if day.drift]
    later = [(day.day, day.drift) for day in days[FIRST_DAYS:] if day.drift]
    if not first or not later:
        return
    count = sum(mean.of for mean in first)
    before = sum(mean.value * mean.of for mean in first) / count
    z = NormalDist().inv_cdf(1 - chance / (2 * len(later)))
    for day, mean in later:
        spread = max(mean.deviation, max(own.deviation for own in first))
        error = spread * sqrt(1 / count + 1 / mean.of)
        if abs(mean.value - before) > max(z * error, LEAST_DRIFT * before):
            yield Alarm(day=str(day), kind="drift", name=None, before=before, after=mean.value)
            return
