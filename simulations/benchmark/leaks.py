"""How far attacks got against ε: the leak measured, beside the bound on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from server.tables import Table
from server.wording import NONE, score
from simulations.benchmark import against_epsilon
from simulations.benchmark.against_epsilon import Curve, Point
from simulations.benchmark.layout import Illustration, caption_of
from simulations.benchmark.series import Benchmark, Series
from simulations.benchmark.statistics import Estimate
from simulations.benchmark.wording import interval, name

CAPTION = (
    "Attacks on one fold. Membership: the chance that a recording, or a speaker, that was trained on scores above one "
    "that wasn't (likelihood ratio; its shadow models, trained with the least privacy, are shared). Canaries: the ε "
    "that they prove at least, at 95 % confidence, beside the ε that the ledgers claim. Gender: how often an update of "
    "a site of a single speaker tells it. Whiskers are 95 % intervals. That an attack fails proves nothing."
)
Audit = Mapping[str, Any]
Audited = Sequence[tuple[Series, Audit]]


def leaks(benchmark: Benchmark, prefix: str) -> list[Illustration]:
    """The figure of the attacks; none where there were none."""
    audited = [(series, own) for series in benchmark.series if (own := _audit_of(series)) is not None]
    if not audited:
        return []
    panels: dict[str, tuple[list[Curve], float | None]] = {
        label: (_curves(audited, of), level) for label, of, level in MEASURES
    }
    canaries = [*_curves(audited, _proved, ", canaries"), *_curves(audited, _claimed, ", claimed", hollow=True)]
    panels["ε at least"] = (canaries, None)
    table = _table(benchmark, audited)
    title = "Success of attacks: " + "; ".join(
        f"{row[0]}: " + ", ".join(f"{head} {cell}" for head, cell in zip(table.head[1:], row[1:], strict=True))
        for row in table.rows
    )
    about = caption_of(CAPTION, benchmark.about["command"])
    shown = {label: (curves, level) for label, (curves, level) in panels.items() if curves}
    return [
        Illustration(
            key=f"{prefix}attacks",
            heading="What attacks find",
            caption=CAPTION,
            drawing=against_epsilon.panels(shown, title, about, f"{prefix}attacks"),
            table=table,
        )
    ]


def _audit_of(series: Series) -> Audit | None:
    return next((row["audit"] for row in series.rows if row["audit"]), None)


def _members(level: str) -> Callable[[Audit], Estimate | None]:
    def of(audit: Audit) -> Estimate | None:
        found = audit["membership"]
        if not found:
            return None
        own = found[level]["likelihood_ratio"]
        return _estimate(own["auc"], own["auc_ci95"])

    return of


def _gender(audit: Audit) -> Estimate | None:
    own = audit["gender"]
    return _estimate(own["uar"], own["uar_ci95"]) if own else None


def _proved(audit: Audit) -> Estimate | None:
    return _estimate(audit["canaries"]["epsilon"], None) if audit["canaries"] else None


def _claimed(audit: Audit) -> Estimate | None:
    return _estimate(audit["canaries"]["claimed_epsilon"], None) if audit["canaries"] else None


MEASURES: Sequence[tuple[str, Callable[[Audit], Estimate | None], float]] = (
    ("AUC, recordings", _members("recordings"), 0.5),
    ("AUC, speakers", _members("speakers"), 0.5),
    ("Gender, UAR", _gender, 0.5),
)


def _estimate(value: float, ci95: Sequence[float] | None) -> Estimate:
    return Estimate(mean=value, ci95=(ci95[0], ci95[1]) if ci95 else None)


def _curves(
    audited: Audited, of: Callable[[Audit], Estimate | None], label: str = "", *, hollow: bool = False
) -> list[Curve]:
    """A curve for each unit that this attack applies to."""
    points: dict[str | None, list[Point]] = {}
    for series, audit in audited:
        if (own := of(audit)) is not None:
            points.setdefault(series.unit, []).append(Point(epsilon=series.epsilon, value=own.mean, ci95=own.ci95))
    return [
        Curve(name=f"{unit or 'no privacy'}{label}", unit=unit, points=own, open=hollow) for unit, own in points.items()
    ]


def _table(benchmark: Benchmark, audited: Audited) -> Table:
    rows = []
    for series, audit in audited:
        told = [(own.mean, interval(own)) if (own := of(audit)) else (None, NONE) for _, of, _ in MEASURES]
        proved, claimed = _proved(audit), _claimed(audit)
        rows.append(
            [
                name(benchmark, series),
                *(score(value) + (f" ({bounds})" if bounds != NONE else "") for value, bounds in told),
                score(proved.mean) if proved else NONE,
                score(claimed.mean) if claimed else NONE,
            ]
        )
    head = ["Condition", *(label for label, _, _ in MEASURES), "ε at least, by canaries", "ε claimed"]
    return Table(caption="What attacks find; 0.5 is guessing", head=head, rows=rows)
