"""What a benchmark takes, what each site spends, and how to repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from server.reporting.drawing import Illustration
from server.reporting.formatting import duration, flat, natural
from server.reporting.pages import listing
from simulations.sweep.page import condition_figures, result_tables
from simulations.sweep.page.layout import Section
from simulations.sweep.page.used_settings import by_condition, in_common
from simulations.sweep.statistics import effects
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark, Series

TIME = (
    "Seconds that a federation takes, all its rounds and sites one after the other on one core; mean over trials. The "
    "table has the bytes too, which are computed, not measured: 4 for each parameter, each round and each site."
)
SPENT = (
    "ε that each site spent, as a share of the target, in the trial in which it spent most. Each site's noise is "
    "calibrated to its own number of units; PRV accountant. The table has the signal to noise: how long what all units "
    "say would be, if they agreed in all steps, over the length of the noise. Below 1 the noise is longer than the "
    "signal."
)
REPEAT = (
    "results.jsonl, in the benchmark's own folder, has a line for each trial with all its settings and the counts of "
    "each test speaker. The same command goes on with a benchmark that was stopped; fedser report draws the page again."
)
MANY = 7  # sites, of which all are shown


def effort(benchmark: Benchmark, prefix: str) -> Section:
    """The section with time, bytes, and each site's ε."""
    private = [series for series in benchmark.series if series.unit]
    return Section(
        key=f"{prefix}effort",
        heading="What it takes, and what each site spends",
        words=f"The whole benchmark took {duration(effects.wall_seconds(benchmark))}{_included(benchmark)}.",
        figures=[_time(benchmark, prefix), *([_spent(benchmark, private, prefix)] if private else [])],
    )


def _included(benchmark: Benchmark) -> str:
    """What was trained beside the trials' own federations."""
    asked = benchmark.about["settings"]
    extra = {"baselines": asked.get("baselines"), "attacks": asked.get("shadows"), "candidates": asked.get("tune")}
    there = " and ".join(what for what, wanted in extra.items() if wanted)
    return f", {there} included" if there else ""


def _time(benchmark: Benchmark, prefix: str) -> Illustration:
    series = benchmark.series
    seconds = {name(benchmark, own): sum(row["seconds"] for row in own.rows) / len(own.rows) for own in series}
    title = "Seconds a trial: " + "; ".join(f"{condition} {value:.3g}" for condition, value in seconds.items())
    return Illustration(
        key=f"{prefix}cost",
        heading="Time",
        title=title,
        caption=TIME,
        drawing=condition_figures.bars(seconds, "Seconds"),
        table=result_tables.cost(benchmark),
    )


def _spent(benchmark: Benchmark, private: Sequence[Series], prefix: str) -> Illustration:
    rows = {name(benchmark, series): _shares(series) for series in private}
    title = "Share of the target ε that each site spent: " + "; ".join(
        f"{condition} {max(v for v, _ in own.values()):.3f} at most" for condition, own in rows.items()
    )
    return Illustration(
        key=f"{prefix}spent",
        heading="ε at each site",
        title=title,
        caption=SPENT,
        drawing=condition_figures.dots(rows, "ε spent / target", line=1.0),
        table=result_tables.spent(benchmark),
    )


def _shares(series: Series) -> dict[str, tuple[float, tuple[float, float] | None]]:
    shares: dict[str, float] = {}
    for row in series.rows:
        for site, own in row["details"]["privacy"].items():
            shares[site] = max(shares.get(site, 0.0), own["epsilon"] / series.epsilon)
    chosen = sorted(shares.items(), key=lambda item: natural(item[0]))
    if len(chosen) > MANY:  # of many sites those at the ends and in the middle
        by_share = sorted(shares.values())
        chosen = [("lowest", by_share[0]), ("median", by_share[len(by_share) // 2]), ("highest", by_share[-1])]
    return {site: (value, None) for site, value in chosen}


def repeat(benchmark: Benchmark, prefix: str) -> Section:
    """The section with the command, the settings and the machine."""
    about = benchmark.about
    folded = {
        "settings": listing("What all trials share, as it was set", flat(in_common(benchmark))),
        "environment": listing("Machine and versions", flat(about["environment"]), ("What", "Value")),
    }
    differing = by_condition(benchmark)
    tables = {"settings-by-condition": differing} if differing.rows else {}
    return Section(key=f"{prefix}repeat", heading="How to repeat it", words=REPEAT, tables=tables, folded=folded)
