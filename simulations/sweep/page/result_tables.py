"""The page's tables."""

from __future__ import annotations

from collections.abc import Sequence

from common.privacy.accounting.calibration import signal_to_noise
from server.reporting.findings import HEARD
from server.reporting.formatting import NONE, duration, interval, natural, p_value, score, signed
from server.reporting.pages import Table
from simulations.sweep.statistics import effects
from simulations.sweep.statistics.effects import Comparison, Group, Heard, SeriesResult
from simulations.sweep.statistics.paired import Estimate
from simulations.sweep.statistics.sentences import name
from simulations.sweep.statistics.series import Benchmark, Series

MEGA = 1e6


def frontier(benchmark: Benchmark, results: Sequence[SeriesResult]) -> Table:
    """Each series' figures, its pooled and local models', and each seed's UAR."""
    seeds = sorted({seed for own in results for seed in own.series.seeds})
    rows = [
        [
            name(benchmark, own.series),
            score(own.uar.mean),
            interval(own.uar),
            score(own.wa.mean),
            score(own.macro_f1.mean),
            *(f"{score(other.mean)} ({interval(other)})" if other else NONE for other in (own.pooled, own.local)),
            *(score(own.by_seed.get(seed)) for seed in (seeds if len(seeds) > 1 else [])),
            f"{len(own.series.folds)} x {len(own.series.seeds)}",
        ]
        for own in results
    ]
    head = ["Condition", "UAR", "95 % interval", "WA", "Macro F1", "Pooled, same privacy", "Each site alone"]
    head += [f"Seed {seed}" for seed in seeds] if len(seeds) > 1 else []
    return Table(caption="Figures on held-out speakers", head=[*head, "Folds x seeds"], rows=rows)


def heard(benchmark: Benchmark, found: Sequence[Heard]) -> Table:
    """UAR by how many others of a speaker were heard before, of each series' model and of its pooled one."""
    rows = [
        [
            name(benchmark, own.series),
            "pooled" if own.pooled else "federated",
            *(f"{score(uar.mean)} ({interval(uar)})" if (uar := own.uar.get(key)) else NONE for key in effects.HEARD),
        ]
        for own in found
    ]
    head = ["Condition", "Model", *(HEARD[key].capitalize() for key in effects.HEARD)]
    return Table(caption="UAR by how much of a speaker was heard", head=head, rows=rows)


def differences(benchmark: Benchmark, found: Sequence[Comparison]) -> Table:
    """Paired differences in UAR, with corrected p-values."""
    rows = [
        [
            name(benchmark, own.series),
            own.against,
            signed(own.difference.mean),
            interval(own.difference, signed),
            p_value(own.difference.p),
            p_value(own.corrected),
        ]
        for own in found
    ]
    head = ["Condition", "Against", "Difference in UAR", "95 % interval", "p", f"p, corrected for {len(rows)}"]
    return Table(caption="Paired differences", head=head, rows=rows)


def recalls(benchmark: Benchmark) -> Table:
    """Each class's recall under each series."""
    rows = [[name(benchmark, s), *map(score, effects.recall(s))] for s in benchmark.series]
    return Table(caption="Recall of each class", head=["Condition", *benchmark.classes], rows=rows)


def groups(benchmark: Benchmark, found: Sequence[Group]) -> Table:
    """UAR of each group under each series, what privacy costs it, and who is worst off."""
    rows = []
    for series in benchmark.series:
        own = [group for group in found if group.series is series]
        for group in own:
            worst = group is min((g for g in own if g.attribute == group.attribute), key=lambda g: g.uar.mean)
            rows.append(
                [
                    name(benchmark, series),
                    f"{group.attribute}: {group.value}",
                    str(group.speakers),
                    score(group.uar.mean),
                    interval(group.uar),
                    _lost(group.cost),
                    "lowest" if worst else "",
                ]
            )
    head = ["Condition", "Group", "Speakers", "UAR", "95 % interval", "Against no privacy", "Lowest"]
    return Table(caption="UAR by group", head=head, rows=rows)


def _lost(cost: Estimate | None) -> str:
    if cost is None:
        return NONE
    bounds = f" ({signed(-cost.ci95[1])} to {signed(-cost.ci95[0])})" if cost.ci95 else ""
    return signed(-cost.mean) + bounds


def worst_speakers(benchmark: Benchmark, found: Sequence[Group]) -> Table:
    """The speaker with the lowest UAR under each series, and the one whom privacy costs most."""
    rows = []
    for series in benchmark.series:
        own = [group for group in found if group.series is series]
        low = min(own, key=lambda group: group.uar.mean)
        high = max(own, key=lambda group: group.uar.mean)
        costs = {group.value: group.cost.mean for group in own if group.cost}
        dearest = max(costs, key=lambda who: costs[who], default=None)
        rows.append(
            [
                name(benchmark, series),
                f"{low.value}: {score(low.uar.mean)}",
                f"{high.value}: {score(high.uar.mean)}",
                f"{dearest}: {signed(-costs[dearest])}" if dearest else NONE,
            ]
        )
    head = ["Condition", "Worst speaker", "Best speaker", "Whom privacy costs most"]
    return Table(caption="Single speakers", head=head, rows=rows)


def speakers(benchmark: Benchmark, found: Sequence[Group]) -> Table:
    """Every test speaker's UAR under every series."""
    by_cell = {(id(group.series), group.value): group.uar.mean for group in found}
    names = sorted({group.value for group in found}, key=natural)
    rows = [[who, *(score(by_cell.get((id(s), who))) for s in benchmark.series)] for who in names]
    head = ["Speaker", *(name(benchmark, s) for s in benchmark.series)]
    return Table(caption="UAR of each test speaker", head=head, rows=rows)


def cost(benchmark: Benchmark) -> Table:
    """What a trial takes: time on one core, bytes between the sites and the server."""
    rows = []
    for series in benchmark.series:
        count = len(series.rows)
        sent, received = (sum(row["details"]["bytes"][way] for row in series.rows) for way in ("sent", "received"))
        rows.append(
            [
                name(benchmark, series),
                str(count),
                duration(sum(row["seconds"] for row in series.rows) / count),
                f"{received / count / MEGA:.2f}",
                f"{sent / count / MEGA:.2f}",
                f"{series.rows[0]['details']['parameters']:,}",
            ]
        )
    head = ["Condition", "Trials", "Time a trial", "MB to the sites", "MB to the server", "Parameters"]
    caption = "Cost of a trial: one core, all rounds and sites; MB computed, 4 bytes a parameter, round and site"
    return Table(caption=caption, head=head, rows=rows)


def spent(benchmark: Benchmark) -> Table:
    """Each site's ε, noise and signal: the largest ε over folds and seeds."""
    rows = [row for series in benchmark.series if series.unit for row in _spent(benchmark, series)]
    head = ["Condition", "Site", "Units", "ε", "δ", "Noise multiplier", "Sample rate", "Steps", "Signal to noise"]
    return Table(caption="What each site spent, in the trial in which it spent most", head=head, rows=rows)


def _spent(benchmark: Benchmark, series: Series) -> list[list[str]]:
    rows = []
    sites = sorted({site for row in series.rows for site in row["details"]["privacy"]}, key=natural)
    for site in sites:
        there = [row["details"] for row in series.rows if site in row["details"]["privacy"]]
        details = max(there, key=lambda own: own["privacy"][site]["epsilon"])
        own = details["privacy"][site]
        noise = own["noise_multiplier"]
        ratio = None
        if noise:
            units = details["units"][site]
            ratio = signal_to_noise(noise, own["sample_rate"], units, details["parameters"]) * own["steps"] ** 0.5
        rows.append(
            [
                name(benchmark, series),
                site,
                str(details["units"][site]),
                score(own["epsilon"]),
                f"{own['delta']:g}",
                score(noise),
                f"{own['sample_rate']:.3g}",
                str(own["steps"]),
                score(ratio, 2),
            ]
        )
    return rows
