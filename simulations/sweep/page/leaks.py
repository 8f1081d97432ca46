"""How far attacks got against ε: the leak measured, beside the bound on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from server.reporting.drawing import Illustration
from server.reporting.formatting import NONE, interval, score
from server.reporting.pages import Table
from simulations.sweep.page import against_epsilon
from simulations.sweep.page.against_epsilon import Curve, Point
from simulations.sweep.statistics.paired import Estimate
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark, Series

CAPTION = (
    "Attacks on one fold. Membership: the chance that a recording, or a speaker, that was trained on scores above one"
    " that wasn't, by the likelihood ratio (its shadow models, trained with the least privacy, are shared{among}) and"
    " by the loss alone. The stronger of the two is drawn, with a full marker for the likelihood ratio and a hollow "
    "one for the loss; the table has both. An AUC whose interval lies wholly below 0.5 says that the attack does not "
    "fit this model, not that the model protects. Canaries: the ε that they prove at least, at 95 % confidence, "
    "beside the ε that the ledgers claim{most}. Gender: how often an update of a site of a single speaker tells it. "
    "Whiskers are 95 % intervals. That an attack fails proves nothing."
)
MOST = "; so many canaries could prove {most} at most, however much leaks"
AMONG = " among conditions whose models read the same of a recording"
ATTACKS = {"likelihood_ratio": "likelihood ratio", "loss_threshold": "loss"}
LEVELS = {"recordings": "AUC, recordings", "speakers": "AUC, speakers"}
GENDER = "Gender, UAR"
Audit = Mapping[str, Any]
Audited = Sequence[tuple[Series, Audit]]
Measure = Callable[[Audit], Estimate | None]


def leaks(benchmark: Benchmark, prefix: str) -> list[Illustration]:
    """The figure of the attacks; none where there were none."""
    audited = [(series, own) for series in benchmark.series if (own := _audit_of(series)) is not None]
    if not audited:
        return []
    table, caption = _table(benchmark, audited), _caption(audited)
    title = "Success of attacks: " + "; ".join(
        f"{row[0]}: " + ", ".join(f"{head} {cell}" for head, cell in zip(table.head[1:], row[1:], strict=True))
        for row in table.rows
    )
    shown = {label: (curves, level) for label, (curves, level) in _panels(audited).items() if curves}
    return [
        Illustration(
            key=f"{prefix}attacks",
            heading="What attacks find",
            title=title,
            caption=caption,
            drawing=against_epsilon.panels(shown),
            table=table,
        )
    ]


def _panels(audited: Audited) -> dict[str, tuple[list[Curve], float | None]]:
    panels: dict[str, tuple[list[Curve], float | None]] = {}
    for level, label in LEVELS.items():
        panels[label] = (_curves(audited, _stronger(level), marked=_by_loss(level)), 0.5)
    panels[GENDER] = (_curves(audited, _gender), 0.5)
    canaries = [*_curves(audited, _proved, ", canaries"), *_curves(audited, _claimed, ", claimed", hollow=True)]
    return {**panels, "ε at least": (canaries, None)}


def _caption(audited: Audited) -> str:
    bounds = sorted({f"{own.mean:.2f}" for _, audit in audited if (own := _provable(audit))}, key=float)
    most = " to ".join(dict.fromkeys(bounds[:1] + bounds[-1:]))
    among = AMONG if any(series.asked.encoded for series, _ in audited) else ""
    return CAPTION.format(most=MOST.format(most=most) if most else "", among=among)


def _audit_of(series: Series) -> Audit | None:
    return next((row["audit"] for row in series.rows if row["audit"]), None)


def _members(level: str, attack: str) -> Measure:
    def of(audit: Audit) -> Estimate | None:
        own = audit["membership"][level].get(attack) if audit["membership"] else None
        return _estimate(own["auc"], own["auc_ci95"]) if own else None

    return of


def _stronger(level: str) -> Measure:
    """Of the attacks on membership the one that tells most."""

    def of(audit: Audit) -> Estimate | None:
        found = [own for attack in ATTACKS if (own := _members(level, attack)(audit))]
        return max(found, key=lambda own: own.mean, default=None)

    return of


def _by_loss(level: str) -> Callable[[Audit], bool]:
    return lambda audit: _stronger(level)(audit) != _members(level, "likelihood_ratio")(audit)


def _gender(audit: Audit) -> Estimate | None:
    own = audit["gender"]
    return _estimate(own["uar"], own["uar_ci95"]) if own else None


def _proved(audit: Audit) -> Estimate | None:
    return _estimate(audit["canaries"]["epsilon"], None) if audit["canaries"] else None


def _provable(audit: Audit) -> Estimate | None:
    """What so many canaries prove if every one of them is told."""
    most = (audit["canaries"] or {}).get("largest_bound")
    return None if most is None else _estimate(most, None)


def _claimed(audit: Audit) -> Estimate | None:
    return _estimate(audit["canaries"]["claimed_epsilon"], None) if audit["canaries"] else None


def _estimate(value: float, ci95: Sequence[float] | None) -> Estimate:
    return Estimate(mean=value, ci95=(ci95[0], ci95[1]) if ci95 else None)


def _curves(
    audited: Audited,
    of: Measure,
    label: str = "",
    *,
    hollow: bool = False,
    marked: Callable[[Audit], bool] = lambda _: False,
) -> list[Curve]:
    """A curve for each unit and front end that this attack applies to; marked points are hollow."""
    points: dict[tuple[str | None, str], list[Point]] = {}
    for series, audit in audited:
        if (own := of(audit)) is not None:
            point = Point(epsilon=series.epsilon, value=own.mean, ci95=own.ci95, open=marked(audit))
            points.setdefault((series.unit, series.front), []).append(point)
    fronts = sorted({series.front for series, _ in audited})
    made = []
    for (unit, front), there in points.items():
        called = f"{unit or 'no privacy'}{label}{f', {front}' if len(fronts) > 1 else ''}"
        place = fronts.index(front)
        made.append(Curve(name=called, unit=unit, points=there, dash=place, second=place > 0, open=hollow))
    return made


def _table(benchmark: Benchmark, audited: Audited) -> Table:
    columns: dict[str, Measure] = {
        f"{label}, {called}": _members(level, attack)
        for level, label in LEVELS.items()
        for attack, called in ATTACKS.items()
    }
    columns |= {GENDER: _gender, "ε at least, by canaries": _proved}
    columns |= {"Most that these could prove": _provable, "ε claimed": _claimed}
    rows = [[name(benchmark, series), *(_cell(of(audit)) for of in columns.values())] for series, audit in audited]
    return Table(caption="What attacks find; of AUC and UAR 0.5 is guessing", head=["Condition", *columns], rows=rows)


def _cell(own: Estimate | None) -> str:
    if own is None:
        return NONE
    return score(own.mean) + (f" ({interval(own)})" if own.ci95 else "")
