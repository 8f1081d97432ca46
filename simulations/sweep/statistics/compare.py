"""Two benchmarks told apart: the same conditions on the same speakers, so that a change of the code can be checked.

Intervals and p-values are over test speakers. How much another training would differ, with another seed or another draw
of the privacy mechanism's noise, is in neither: the same code run twice with privacy can differ by more than they say.
Several seeds on both sides make that smaller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import UsageError
from server.reporting.formatting import interval, natural, p_value, score, signed
from server.reporting.pages import Table
from simulations.sweep.statistics.paired import Difference, difference, holm, least_p, point
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark, Key, Series

LEVEL = 0.05
COVERS = (
    "Intervals and p-values are over test speakers; how much another training would differ (its seed, the noise of a "
    "private one) is in neither."
)
Pairs = set[tuple[str, int]]  # fold and seed of each trial


@dataclass(frozen=True, kw_only=True)
class Change:
    """A condition in two benchmarks.

    Attributes:
        name: of the condition.
        before: its UAR in the first.
        after: in the second.
        difference: of the second less the first, on the speakers of both.
        corrected: its p-value, corrected for the number of conditions.
        telling: whether so few speakers could show any difference at all.
    """

    name: str
    before: float
    after: float
    difference: Difference
    corrected: float
    telling: bool = True

    def worse(self, tolerance: float) -> bool:
        """Whether the second is worse by more than this on other speakers too: by its interval and by its corrected p.

        It says nothing of another training.
        """
        interval = self.difference.ci95
        return self.telling and interval is not None and interval[1] < -tolerance and self.corrected < LEVEL

    def better(self, tolerance: float) -> bool:
        """Likewise the other way round."""
        interval = self.difference.ci95
        return self.telling and interval is not None and interval[0] > tolerance and self.corrected < LEVEL


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a comparison found.

    Attributes:
        changes: of each condition that can be paired.
        missing: what only the first has, a line a condition.
        extra: what only the second has.
    """

    changes: Sequence[Change]
    missing: Sequence[str]
    extra: Sequence[str]

    def verdict(self, tolerance: float, *, allow_missing: bool = False) -> str:
        """``worse``, ``nothing compared``, ``incomplete`` or ``passed``: only the last is one for a check in CI."""
        if any(own.worse(tolerance) for own in self.changes):
            return "worse"
        if not any(own.telling for own in self.changes):
            return "nothing compared"
        return "incomplete" if self.missing and not allow_missing else "passed"


def compare(first: Benchmark, second: Benchmark) -> Compared:
    """Compare the folds and seeds of every condition that both have, on the same test speakers.

    Raises:
        UsageError: they tell other emotions apart.
    """
    if first.classes != second.classes:
        raise UsageError(
            f"{first.path} tells {', '.join(first.classes)} apart, {second.path} {', '.join(second.classes)}: expected "
            "the same emotions"
        )
    ours, theirs = _by_key(first), _by_key(second)
    found = {key: _change(own, theirs[key]) for key, own in ours.items() if key in theirs}
    told = {key: own for key, own in found.items() if own is not None}
    names = {key: name(first if key in ours else second, own) for key, own in {**theirs, **ours}.items()}
    apart = [key for key in found if key not in told and _pairs(ours[key]) & _pairs(theirs[key])]
    strange = [f"{names[key]}: no fold of all their seeds with the same test speakers" for key in apart]
    return Compared(
        changes=_corrected(told, names),
        missing=_only(ours, theirs, names) + strange,
        extra=_only(theirs, ours, names),
    )


def _by_key(benchmark: Benchmark) -> dict[Key, Series]:
    return {(own.condition, own.strategy, own.sites): own for own in benchmark.begun}


def _only(ours: Mapping[Key, Series], theirs: Mapping[Key, Series], names: Mapping[Key, str]) -> list[str]:
    """What only one has: whole conditions, or trials of them."""
    lines = []
    for key, own in ours.items():
        if key not in theirs:
            lines.append(f"{names[key]}: all of it")
        elif more := _pairs(own) - _pairs(theirs[key]):
            folds = ", ".join(sorted({fold for fold, _ in more}, key=natural))
            seeds = ", ".join(map(str, sorted({seed for _, seed in more})))
            lines.append(f"{names[key]}: fold {folds} with seed {seeds}")
    return lines


def _pairs(series: Series) -> Pairs:
    return {(row["fold"], row["seed"]) for row in series.rows}


def _change(own: Series, other: Series) -> tuple[float, float, Difference, int] | None:
    """UAR before and after, their difference, and on how many speakers; None where nothing can be paired."""
    both = _pairs(own) & _pairs(other)
    seeds = sorted({seed for _, seed in both})
    folds = [f for f in sorted({fold for fold, _ in both}, key=natural) if all((f, seed) in both for seed in seeds)]
    speakers = own.tested(folds)
    if not folds or speakers != other.tested(folds):
        return None
    before, after = own.counts(folds=folds, seeds=seeds), other.counts(folds=folds, seeds=seeds)
    return point(before), point(after), difference(after, before), sum(map(len, speakers))


def _corrected(found: Mapping[Key, tuple[float, float, Difference, int]], names: Mapping[Key, str]) -> list[Change]:
    corrected = holm({key: own.p for key, (_, _, own, _) in found.items()})
    return [
        Change(
            name=names[key],
            before=before,
            after=after,
            difference=own,
            corrected=corrected[key],
            telling=own.ci95 is not None and len(found) * least_p(speakers) < LEVEL,
        )
        for key, (before, after, own, speakers) in found.items()
    ]


def table(changes: Sequence[Change], tolerance: float) -> Table:
    """The changes as a table."""
    rows = [
        [
            own.name,
            score(own.before),
            score(own.after),
            signed(own.difference.mean),
            interval(own.difference, signed),
            p_value(own.corrected),
            _words(own, tolerance),
        ]
        for own in changes
    ]
    head = ["Condition", "UAR, first", "UAR, second", "Difference", "95 % interval", "p, corrected", "Second is"]
    return Table(caption="Two benchmarks", head=head, rows=rows)


def _words(own: Change, tolerance: float) -> str:
    interval = own.difference.ci95
    if interval is None or not own.telling:
        return "unknown: too few speakers"
    if own.worse(tolerance):
        return "worse"
    if own.better(tolerance):
        return "better"
    return "not worse" if interval[0] >= -tolerance else "not told apart"


def problem(
    found: Compared, tolerance: float, *, first: object, second: object, allow_missing: bool = False
) -> str | None:
    """Why a check fails, in one line with the two folders; None where it passes."""
    verdict = found.verdict(tolerance, allow_missing=allow_missing)
    if verdict == "worse":
        return f"{second} is worse than {first}: {', '.join(own.name for own in found.changes if own.worse(tolerance))}"
    if verdict == "nothing compared":
        why = "too few test speakers in both" if found.changes else _brief(found.missing)
        return (
            f"{first} and {second} cannot be compared ({why}); expected the same conditions, folds and seeds, and "
            "enough test speakers that a difference could show"
        )
    if verdict == "incomplete":
        return f"{second} lacks what {first} has ({_brief(found.missing)}); finish it, or give --allow-missing"
    return None


def _brief(lines: Sequence[str]) -> str:
    return "; ".join(lines[:2]) + (f"; and {len(lines) - 2} more, see above" if len(lines) > 2 else "")


def as_json(found: Compared, tolerance: float, *, allow_missing: bool = False) -> dict[str, Any]:
    """The comparison, JSON-ready."""
    return {
        "verdict": found.verdict(tolerance, allow_missing=allow_missing),
        "covers": COVERS,
        "missing": list(found.missing),
        "extra": list(found.extra),
        "conditions": [
            {
                "condition": own.name,
                "before": own.before,
                "after": own.after,
                "difference": own.difference.mean,
                "ci95": own.difference.ci95,
                "p": own.difference.p,
                "p_corrected": own.corrected,
                "enough_speakers": own.telling,
                "worse": own.worse(tolerance),
            }
            for own in found.changes
        ],
    }
