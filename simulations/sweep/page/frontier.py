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
from simulations.sweep.statistics.effects import FEATURES, PLAIN, Comparison, SeriesResult
from simulations.sweep.statistics.paired import Estimate
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark, Series

WORDS = (
    "Intervals resample test speakers, with all their recordings, the same ones for every condition. The p-values are "
    "of a randomisation test that exchanges a speaker's answers between two conditions, corrected for the number of "
    "comparisons (Holm). How much another training would differ is in neither."
)
CAPTION = "UAR on held-out speakers against ε, a band for each unit of privacy: the 95 % interval over test speakers."
SHARED = (
    " {All} conditions share the strictest one's normalisation, class weights, training speakers and choice of the"
    " model."
)
APART = (
    " A condition that names the encoder is trained as its own recipe says, whose scaling fits the encoder's rows, so "
    "that what privacy costs there is its scaling's cost too. Training and test speakers are the same for all."
)
DIFFERENCES = (
    "UAR less that of the same trials without privacy, and less that of the pooled model with the same privacy, on the "
    "same speakers{classic}; 95 % intervals of the difference. Left of the line is a loss."
)
LESS_CLASSIC = ", and with the encoder less that of the classic features with the same privacy"
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
    caption = _caption(benchmark) + _optimizers(benchmark) + (REFERENCE if reference else "")
    shown = curves([(own.series, own.uar) for own in results])
    pooled = [(own.series, Estimate(mean=own.pooled.mean, ci95=None)) for own in results if own.pooled]
    shown += [curve for curve in curves(pooled, ", pooled", hollow=True) if curve.unit]
    lines = _pooled(benchmark, pooled)
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


def _pooled(benchmark: Benchmark, pooled: Sequence[tuple[Series, Estimate]]) -> dict[str, float]:
    """The heights of the lines of the pooled models without privacy, by their names: the first of each front end."""
    first: dict[str, tuple[Series, Estimate]] = {}
    for series, estimate in pooled:
        if not series.unit:
            first.setdefault(series.front, (series, estimate))
    several = len(benchmark.fronts) > 1
    names = {front: f"pooled, {front}" if several else "pooled, no privacy" for front in first}
    return {f"{names[front]} ({score(estimate.mean)})": estimate.mean for front, (_, estimate) in first.items()}


def _caption(benchmark: Benchmark) -> str:
    apart = {series.asked.encoded for series in benchmark.begun}
    shared = SHARED.format(All="Classic" if True in apart else "All") if False in apart else ""
    return CAPTION + shared + (APART if True in apart else "")


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
        group = f"against {own.against}" if own.against in (PLAIN, FEATURES) else "against pooled"
        rows.setdefault(name(benchmark, own.series), {})[group] = (own.difference.mean, own.difference.ci95)
    told = "; ".join(f"{n} " + ", ".join(f"{g} {signed(v)}" for g, (v, _) in r.items()) for n, r in rows.items())
    return Illustration(
        key=f"{prefix}differences",
        heading="What is lost",
        title=f"Differences in UAR: {told}",
        caption=DIFFERENCES.format(
            classic=LESS_CLASSIC if any(own.against == FEATURES for own in found) else "",
        ),
        drawing=condition_figures.dots(rows, "Difference in UAR", line=0.0),
        table=result_tables.differences(benchmark, found),
    )


def curves(results: Sequence[tuple[Series, Estimate]], label: str = "", *, hollow: bool = False) -> list[Curve]:
    """A curve for each unit, front end, noise, strategy and sites, and a point for each series without privacy."""
    kinds = list(dict.fromkeys(_kind(series) for series, _ in results))
    fronts = sorted({series.front for series, _ in results})
    by_curve: dict[tuple[str | None, tuple[str, str, str, bool]], list[tuple[Series, Estimate]]] = {}
    for series, estimate in results:
        by_curve.setdefault((series.unit, _kind(series)), []).append((series, estimate))
    made = []
    for (unit, kind), own in by_curve.items():
        front, strategy, sites, sharing = kind
        which = f", {front}" if len(fronts) > 1 else ""
        which += ", shared noise" if sharing else ""
        which += f", {strategy}, sites {sites}" if len({other[1:3] for other in kinds}) > 1 else ""
        points = [Point(epsilon=series.epsilon, value=e.mean, ci95=e.ci95) for series, e in own]
        called, second = f"{unit or 'no privacy'}{label}{which}", front != fronts[0]
        made.append(Curve(name=called, unit=unit, points=points, dash=kinds.index(kind), open=hollow, second=second))
    return made


def _kind(series: Series) -> tuple[str, str, str, bool]:
    return series.front, series.strategy, series.sites, series.asked.sharing
