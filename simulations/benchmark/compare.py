"""Two benchmarks told apart: the same conditions on the same speakers, so that a change of the code can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import UsageError
from server.tables import Table
from server.wording import NONE, score
from simulations.benchmark.series import Benchmark, Series, shared_folds
from simulations.benchmark.statistics import Difference, difference, holm, point
from simulations.benchmark.wording import name, p_value, signed


@dataclass(frozen=True, kw_only=True)
class Change:
    """A condition in two benchmarks.

    Attributes:
        name: of the condition.
        before: its UAR in the first.
        after: in the second.
        difference: of the second less the first, on the speakers of both.
        corrected: its p-value, corrected for the number of conditions.
    """

    name: str
    before: float
    after: float
    difference: Difference
    corrected: float

    def worse(self, tolerance: float) -> bool:
        """Whether the second is worse by more than this for certain; below 5 speakers nothing is certain."""
        interval = self.difference.ci95
        return interval is not None and interval[1] < -tolerance


def compare(first: Benchmark, second: Benchmark) -> list[Change]:
    """Compare all conditions that both have.

    Raises:
        UsageError: they have none in common, or other test speakers, classes or seeds.
    """
    if first.classes != second.classes:
        raise UsageError(
            f"{first.path} tells {', '.join(first.classes)} apart, {second.path} {', '.join(second.classes)}: expected "
            "the same emotions"
        )
    theirs = {(s.condition, s.strategy, s.sites): s for s in second.series}
    both = [(s, theirs[key]) for s in first.series if (key := (s.condition, s.strategy, s.sites)) in theirs]
    if not both:
        raise UsageError(f"{first.path} and {second.path} have no condition in common")
    found = [_change(first, own, other) for own, other in both]
    corrected = holm({i: own.p for i, (_, _, _, own) in enumerate(found)})
    return [
        Change(name=called, before=before, after=after, difference=own, corrected=corrected[i])
        for i, (called, before, after, own) in enumerate(found)
    ]


def _change(benchmark: Benchmark, own: Series, other: Series) -> tuple[str, float, float, Difference]:
    called = name(benchmark, own)
    seeds = sorted(set(own.seeds) & set(other.seeds))
    folds = shared_folds([own, other])
    speakers = own.tested(folds)
    if not seeds or not folds or speakers != other.tested(folds):
        raise UsageError(f"{called}: expected the same seeds, folds and test speakers in both; nothing can be paired")
    before, after = own.counts(folds=folds, seeds=seeds), other.counts(folds=folds, seeds=seeds)
    return called, point(before), point(after), difference(after, before)


def table(changes: Sequence[Change], tolerance: float) -> Table:
    """The changes as a table."""
    rows = [
        [
            own.name,
            score(own.before),
            score(own.after),
            signed(own.difference.mean),
            f"{signed(own.difference.ci95[0])} to {signed(own.difference.ci95[1])}" if own.difference.ci95 else NONE,
            p_value(own.corrected),
            _verdict(own, tolerance),
        ]
        for own in changes
    ]
    head = ["Condition", "UAR, first", "UAR, second", "Difference", "95 % interval", "p, corrected", "Second is"]
    return Table(caption="Two benchmarks", head=head, rows=rows)


def _verdict(own: Change, tolerance: float) -> str:
    interval = own.difference.ci95
    if interval is None:
        return "unknown: too few speakers"
    if own.worse(tolerance):
        return "worse"
    return "better" if interval[0] > tolerance else "not worse" if interval[0] >= -tolerance else "not told apart"


def as_json(changes: Sequence[Change], tolerance: float) -> list[dict[str, Any]]:
    """The changes, JSON-ready."""
    return [
        {
            "condition": own.name,
            "before": own.before,
            "after": own.after,
            "difference": own.difference.mean,
            "ci95": own.difference.ci95,
            "p": own.difference.p,
            "p_corrected": own.corrected,
            "worse": own.worse(tolerance),
        }
        for own in changes
    ]
