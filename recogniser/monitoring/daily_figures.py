"""What a log says of each day: how often the model was right, what it said, how sure it was, what drifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from statistics import fmean, stdev
from typing import Any

from recogniser.monitoring.proportions import Count, wilson
from recogniser.monitoring.segment_log import Logged


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Of so many numbers, with their standard deviation (0 of one)."""

    value: float
    deviation: float
    of: int


@dataclass(frozen=True, kw_only=True)
class Day:
    """One day of a log.

    Attributes:
        day: which.
        segments: how many.
        accuracy: of those that have a label how many were right.
        recall: of those of a class likewise.
        share: of all how many were said to be of a class.
        confidence: the likeliest class's probability.
        drift: of the features from the training scaling; None where no line says it.
    """

    day: date
    segments: int
    accuracy: Count
    recall: dict[str, Count]
    share: dict[str, Count]
    confidence: Mean
    drift: Mean | None

    def as_dict(self) -> dict[str, Any]:
        """As the JSON has it: each share with its interval."""
        return {
            "day": str(self.day),
            "segments": self.segments,
            "accuracy": _told(self.accuracy),
            "recall": {name: _told(count) for name, count in self.recall.items()},
            "share": {name: _told(count) for name, count in self.share.items()},
            "confidence": round(self.confidence.value, 4),
            "drift": None if self.drift is None else round(self.drift.value, 4),
        }


def by_day(segments: Sequence[Logged], labels: Mapping[str, str], classes: Sequence[str]) -> list[Day]:
    """The days on which something was heard, in order.

    Args:
        segments: in the order of their days.
        labels: the true class by a segment's id, where it is known.
        classes: of the model.
    """
    grouped = groupby(segments, key=lambda own: own.day)
    return [_day(day, list(own), labels, classes) for day, own in grouped]


def _day(day: date, segments: Sequence[Logged], labels: Mapping[str, str], classes: Sequence[str]) -> Day:
    pairs = [(labels[own.id], own.said) for own in segments if own.id in labels]
    said = [own.said for own in segments]
    drifts = [own.drift for own in segments if own.drift is not None]
    return Day(
        day=day,
        segments=len(segments),
        accuracy=_hits(pairs),
        recall={name: _hits([pair for pair in pairs if pair[0] == name]) for name in classes},
        share={name: Count(hits=said.count(name), of=len(said)) for name in classes},
        confidence=mean_of([max(own.scores.values()) for own in segments]),
        drift=mean_of(drifts) if drifts else None,
    )


def _hits(pairs: Sequence[tuple[str, str]]) -> Count:
    return Count(hits=sum(true == said for true, said in pairs), of=len(pairs))


def mean_of(values: Sequence[float]) -> Mean:
    """Of one number or more."""
    return Mean(value=fmean(values), deviation=stdev(values) if len(values) > 1 else 0.0, of=len(values))


def _told(count: Count) -> dict[str, float | int] | None:
    if count.share is None:
        return None
    low, high = wilson(count)
    return {"share": round(count.share, 4), "low": round(low, 4), "high": round(high, 4), "of": count.of}
