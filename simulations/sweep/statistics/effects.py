"""What a benchmark shows: each series' figures, what privacy and federation cost, and who pays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.learning import metrics
from common.learning.metrics import Confusion
from simulations.sweep.statistics.paired import Difference, Estimate, change, difference, estimate, holm, point
from simulations.sweep.statistics.series import Benchmark, Series, shared_folds

HEARD = ("0", "8", "all")
PLAIN, FEATURES = "no privacy", "classic features"


@dataclass(frozen=True, kw_only=True)
class SeriesResult:
    """A series' figures.

    Attributes:
        series: whose they are.
        uar: of the federated model.
        wa: likewise.
        macro_f1: likewise.
        by_seed: the UAR of each seed alone.
        pooled: UAR of the model of all recordings in one place, with the same privacy; None where it wasn't trained.
        local: the mean UAR of each site alone, likewise.
    """

    series: Series
    uar: Estimate
    wa: Estimate
    macro_f1: Estimate
    by_seed: dict[int, float]
    pooled: Estimate | None
    local: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a model that adapts to a speaker reaches, by how many others of the speaker were heard before.

    Attributes:
        series: of the federated model.
        pooled: whether it is of the model of all recordings in one place.
        uar: by ``HEARD``; without what there is not.
    """

    series: Series
    pooled: bool
    uar: dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A paired difference in UAR.

    Attributes:
        series: of the first.
        against: in words, the second.
        difference: of the two.
        corrected: its p-value, corrected for all comparisons of the benchmark.
    """

    series: Series
    against: str
    difference: Difference
    corrected: float


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group of test speakers under one series.

    Attributes:
        series: of the models.
        attribute: ``gender``, ``language`` or ``speaker``.
        value: e.g. ``female``.
        speakers: how many.
        uar: over all their recordings.
        cost: the same without privacy, less ``uar``; None where there is no such series.
        counts: of its speakers, ``(seeds, speakers, classes, classes)``.
        plain: the same without privacy, likewise None.
    """

    series: Series
    attribute: str
    value: str
    speakers: int
    uar: Estimate
    cost: Estimate | None
    counts: Confusion
    plain: Confusion | None


def result(series: Series) -> SeriesResult:
    """The figures of one series."""
    counts, pooled, local = (series.counts(model) for model in ("by_speaker", "pooled", "local"))
    return SeriesResult(
        series=series,
        uar=estimate(counts),
        wa=estimate(counts, "wa"),
        macro_f1=estimate(counts, "macro_f1"),
        by_seed={seed: point(series.counts(seeds=[seed])) for seed in series.seeds},
        pooled=estimate(pooled) if pooled else None,
        local=estimate(local) if local else None,
    )


def results(benchmark: Benchmark) -> list[SeriesResult]:
    """Compute the figures of every series of a benchmark."""
    return [result(series) for series in benchmark.series]


def heard(benchmark: Benchmark) -> list[Heard]:
    """The figures as of strangers: of each series whose models adapt to a speaker, and of its pooled model."""
    found = []
    for series in benchmark.series:
        for model in ("strangers", "pooled_strangers") if series.adapts else ():
            told = {name: counts for name in HEARD if (counts := series.strangers(model, name))}
            uar = {name: estimate(counts) for name, counts in told.items()}
            found += [Heard(series=series, pooled=model == "pooled_strangers", uar=uar)] if uar else []
    return found


def comparisons(benchmark: Benchmark) -> list[Comparison]:
    """Each series against the same without privacy, against the same with classic features, and its pooled model.

    All p-values are corrected together.
    """
    found: list[tuple[Series, str, Difference]] = []
    for series in benchmark.series:
        others = {PLAIN: benchmark.plain(series) if series.unit else None, FEATURES: benchmark.classic(series)}
        for name, other in others.items():
            found += [(series, name, paired(series, other))] if other and _alike(series, other) else []
        if pooled := series.counts("pooled"):
            name = "pooled, same privacy" if series.unit else "pooled"
            found.append((series, name, difference(series.counts(), pooled)))
    corrected = holm({i: own.p for i, (_, _, own) in enumerate(found)})
    return [
        Comparison(series=series, against=against, difference=own, corrected=corrected[i])
        for i, (series, against, own) in enumerate(found)
    ]


def _alike(first: Series, second: Series) -> bool:
    return first.seeds == second.seeds and bool(shared_folds([first, second]))


def paired(first: Series, second: Series) -> Difference:
    """The UAR of one series less another's, on the folds that both have; their seeds are the same."""
    folds = shared_folds([first, second])
    return difference(first.counts(folds=folds), second.counts(folds=folds))


def recall(series: Series) -> list[float | None]:
    """Each class's recall over all folds' and seeds' test recordings; None for a class without any."""
    total = np.sum([counts.sum(axis=(0, 1)) for counts in series.counts()], axis=0)
    return [None if np.isnan(value) else float(value) for value in metrics.recalls(total)]


def groups(benchmark: Benchmark, attribute: str) -> list[Group]:
    """Each group's UAR under each series.

    Args:
        benchmark: with its speakers' gender and language.
        attribute: ``gender``, ``language`` or ``speaker``, which makes each person a group.
    """
    members = _members(benchmark, attribute)
    found = []
    for series in benchmark.series:
        plain = benchmark.plain(series)
        own, other = series.speakers(), plain.speakers() if plain and series.unit else {}
        for value, names in members.items():
            if there := [name for name in names if name in own]:
                plainly = _together(other, there) if all(name in other for name in there) else None
                found.append(_group(series, attribute, value, _together(own, there), plainly))
    return found


def _group(series: Series, attribute: str, value: str, counts: Confusion, plain: Confusion | None) -> Group:
    alike = plain is not None and plain.shape == counts.shape  # as many seeds
    return Group(
        series=series,
        attribute=attribute,
        value=value,
        speakers=counts.shape[1],
        uar=estimate([counts]),
        cost=change(plain, counts) if plain is not None and alike else None,
        counts=counts,
        plain=plain if alike else None,
    )


def _members(benchmark: Benchmark, attribute: str) -> dict[str, list[str]]:
    if attribute != "speaker":
        return benchmark.groups(attribute)
    return {speaker: [speaker] for series in benchmark.series for speaker in series.speakers()}


def _together(counts: dict[str, Confusion], names: Sequence[str]) -> Confusion:
    """``(seeds, speakers, classes, classes)``, as a fold of ``statistics``."""
    return np.stack([counts[name] for name in names], axis=1)


def worst(found: Sequence[Group], series: Series) -> Group | None:
    """The group with the lowest UAR under a series."""
    return min((group for group in found if group.series is series), key=lambda group: group.uar.mean, default=None)


def wall_seconds(benchmark: Benchmark) -> float:
    """From the start of each session to its last trial, in sum: what a killed session did after that isn't in it."""
    last: dict[float, float] = {}
    for row in benchmark.rows:
        details: dict[str, Any] = row["details"]
        last[details["session"]] = max(details["ended"], last.get(details["session"], 0.0))
    return sum(ended - began for began, ended in last.items())


def summary(benchmark: Benchmark) -> list[dict[str, Any]]:
    """Each series' figures, JSON-ready."""
    return [
        {
            "condition": own.series.condition,
            "strategy": own.series.strategy,
            "sites": own.series.sites,
            **({"encoder": own.series.encoder} if own.series.encoder else {}),
            **{name: dataclasses.asdict(figure) if figure else None for name, figure in _figures(own).items()},
            "uar_by_seed": {str(seed): value for seed, value in own.by_seed.items()},
        }
        for own in results(benchmark)
    ]


def _figures(own: SeriesResult) -> dict[str, Estimate | None]:
    return {"uar": own.uar, "wa": own.wa, "macro_f1": own.macro_f1, "pooled_uar": own.pooled, "local_uar": own.local}
