"""The frontier: UAR against ε, and what each condition costs."""

from __future__ import annotations

from collections.abc import Sequence

from server.reporting.drawing import Illustration
from server.reporting.formatting import score, signed
from simulations.sweep.page import against_epsilon, condition_figures, result_tables
from simulations.sweep.page.against_epsilon import Curve, Point
from simulations.sweep.page.layout import Section
from simulations.sweep.page.leaks import leaks
from simulations.sweep.page.used_settings import optimizers
from simulations.sweep.statistics.effects import Comparison, SeriesResult
from simulations.sweep.statistics.paired import Estimate
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark, Series

WORDS = (
    "Intervals resample test speakers, with all their recordings, the same ones for every condition. The p-values are "
    "of a randomisation test that exchanges a speaker's answers between two conditions, corrected for the number of "
    "comparisons (Holm). How much another training would differ is in neither."
)
CAPTION = (
    "UAR on held-out speakers against ε, a band for each unit of privacy: the 95 % interval over test speakers. All "
    "conditions share the strictest one's normalisation, class weights, training speakers and choice of the model."
)
DIFFERENCES = (
    "UAR less that of the same trials without privacy, and less that of the pooled model with the same privacy, on the "
    "same speakers; 95 % intervals of the difference. Left of the line is a loss."
)
REFERENCE = " The unrestricted figure is of a run of fedser simulate that may use all of these."


def frontier(
    benchmark: Benchmark, results: Sequence[SeriesResult], differences: Sequence[Comparison], prefix: str
) -> Section:
    """The section with the frontier, the attacks beside it, and the paired differences."""
    return Section(
        key=f"{prefix}cost-of-privacy",
        heading="What privacy costs",
        words=WORDS,
        figures=[
            _frontier(benchmark, results, prefix),
            *([_differences(benchmark, differences, prefix)] if differences else []),
            *leaks(benchmark, prefix),
        ],
    )


def _frontier(benchmark: Benchmark, results: Sequence[SeriesResult], prefix: str) -> Illustration:
    reference = benchmark.about["reference"]
    caption = CAPTION + _optimizers(benchmark) + (REFERENCE if reference else "")
    shown = curves([(own.series, own.uar) for own in results])
    pooled = [(own.series, Estimate(mean=own.pooled.mean, ci95=None)) for own in results if own.pooled]
    shown += [curve for curve in curves(pooled, ", pooled", hollow=True) if curve.unit]
    lines = {f"pooled, no privacy ({score(e.mean)})": e.mean for series, e in pooled[:1] if not series.unit}
    chance = 1 / len(benchmark.classes)
    lines[f"chance ({score(chance)})"] = chance
    if reference:
        lines[f"unrestricted ({score(reference['uar'])})"] = reference["uar"]
    title = "UAR against ε: " + "; ".join(f"{name(benchmark, own.series)} {score(own.uar.mean)}" for own in results)
    return Illustration(
        key=f"{prefix}frontier",
        heading="The privacy-accuracy frontier",
        title=title,
        caption=caption,
        drawing=against_epsilon.frontier(shown, lines),
        table=result_tables.frontier(benchmark, results),
    )


def _optimizers(benchmark: Benchmark) -> str:
    """A sentence where not all conditions have the same: then a difference is not of privacy's noise alone."""
    found = optimizers(benchmark)
    if len(found) < 2:
        return ""
    told = "; ".join(f"{optimizer} for {' and '.join(kinds)}" for optimizer, kinds in found.items())
    return f" The optimizer is not shared, each mechanism has its recipe's: {told}."


def _differences(benchmark: Benchmark, found: Sequence[Comparison], prefix: str) -> Illustration:
    rows: dict[str, dict[str, tuple[float, tuple[float, float] | None]]] = {}
    for own in found:
        group = "against no privacy" if own.against == "no privacy" else "against pooled"
        rows.setdefault(name(benchmark, own.series), {})[group] = (own.difference.mean, own.difference.ci95)
    told = "; ".join(f"{n} " + ", ".join(f"{g} {signed(v)}" for g, (v, _) in r.items()) for n, r in rows.items())
    return Illustration(
        key=f"{prefix}differences",
        heading="What is lost",
        title=f"Differences in UAR: {told}",
        caption=DIFFERENCES,
        drawing=condition_figures.dots(rows, "Difference in UAR", line=0.0),
        table=result_tables.differences(benchmark, found),
    )


def curves(results: Sequence[tuple[Series, Estimate]], label: str = "", *, hollow: bool = False) -> list[Curve]:
    """A curve for each unit, strategy and sites, and a point for each series without privacy."""
    strategies = list(dict.fromkeys((series.strategy, series.sites) for series, _ in results))
    by_curve: dict[tuple[str | None, str, str], list[tuple[Series, Estimate]]] = {}
    for series, estimate in results:
        by_curve.setdefault((series.unit, series.strategy, series.sites), []).append((series, estimate))
    made = []
    for (unit, strategy, sites), own in by_curve.items():
        which = f", {strategy}, sites {sites}" if len(strategies) > 1 else ""
        points = [Point(epsilon=series.epsilon, value=e.mean, ci95=e.ci95) for series, e in own]
        called = f"{unit or 'no privacy'}{label}{which}"
        place = strategies.index((strategy, sites))
        made.append(Curve(name=called, unit=unit, points=points, dash=place, open=hollow))
    return made
