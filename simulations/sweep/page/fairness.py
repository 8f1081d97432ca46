"""Who pays for privacy: groups of speakers, single speakers, emotions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.reporting.drawing import Illustration
from server.reporting.formatting import score
from server.reporting.pages import Table
from simulations.sweep.page import condition_figures, result_tables
from simulations.sweep.page.layout import Section
from simulations.sweep.statistics import effects
from simulations.sweep.statistics.effects import Group
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark

ATTRIBUTES = ("gender", "language", "speaker")
WORDS = (
    "Whether all pay alike for privacy, or some more than others. The worst speaker of many is in part bad luck, under "
    "every condition."
)


def fairness(benchmark: Benchmark, groups: Mapping[str, Sequence[Group]], prefix: str) -> Section:
    """The section with what each group and each emotion loses."""
    drawn = [_recalls(benchmark, prefix)]
    told = [group for attribute in ("gender", "language") for group in groups[attribute]]
    found: dict[str, Table] = {}
    if told:
        drawn.insert(0, _groups(benchmark, told, groups["speaker"], prefix))
    found["speakers-worst"] = result_tables.worst_speakers(benchmark, groups["speaker"])
    folded = {"speakers": result_tables.speakers(benchmark, groups["speaker"])}
    return Section(
        key=f"{prefix}fairness", heading="Who pays for it", words=WORDS, figures=drawn, tables=found, folded=folded
    )


def _groups(benchmark: Benchmark, told: Sequence[Group], single: Sequence[Group], prefix: str) -> Illustration:
    rows: dict[str, dict[str, tuple[float, tuple[float, float] | None]]] = {}
    worst: list[str] = []
    for series in benchmark.series:
        own = {group.value: (group.uar.mean, group.uar.ci95) for group in told if group.series is series}
        low = effects.worst(single, series)
        worst.append(min(own, key=lambda group: own[group][0]))
        rows[name(benchmark, series)] = own | ({"worst speaker": (low.uar.mean, None)} if low else {})
    title = "UAR by group: " + "; ".join(
        f"{condition} " + ", ".join(f"{group} {score(value)}" for group, (value, _) in own.items())
        for condition, own in rows.items()
    )
    caption = (
        "UAR of each group of test speakers under each condition, with 95 % intervals. The dotted line is guessing."
    )
    if len(set(worst)) == 1:
        caption += f" The lowest mean under every condition: {worst[0]} speakers."
    return Illustration(
        key=f"{prefix}groups",
        heading="Groups",
        title=title,
        caption=caption,
        drawing=condition_figures.dots(rows, "UAR", line=1 / len(benchmark.classes)),
        table=result_tables.groups(benchmark, told),
    )


def _recalls(benchmark: Benchmark, prefix: str) -> Illustration:
    rows = {name(benchmark, series): effects.recall(series) for series in benchmark.series}
    caption = "The share of each emotion's test recordings that is recognised, in per cent, under each condition."
    title = "Recall of each emotion: " + "; ".join(
        f"{condition} " + ", ".join(f"{c} {score(v, 2)}" for c, v in zip(benchmark.classes, values, strict=True))
        for condition, values in rows.items()
    )
    return Illustration(
        key=f"{prefix}recall",
        heading="Emotions",
        title=title,
        caption=caption,
        drawing=condition_figures.heat(benchmark.classes, rows),
        table=result_tables.recalls(benchmark),
    )
