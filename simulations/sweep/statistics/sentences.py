"""The words of the page: what conditions are called, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from common.learning.metrics import Confusion
from server.reporting.formatting import interval, p_value, score
from simulations.sweep.statistics.effects import FEATURES, PLAIN, Comparison, Group, SeriesResult
from simulations.sweep.statistics.paired import contrast
from simulations.sweep.statistics.series import Benchmark, Series


def condition(series: Series) -> str:
    """``no privacy``, or ``utterance, ε = 8``."""
    noise = ", shared noise" if series.asked.sharing else ""
    return f"{series.unit}, ε = {series.epsilon:g}{noise}" if series.unit else "no privacy"


def name(benchmark: Benchmark, series: Series) -> str:
    """A series' name; with the front end, the strategy and the sites where the benchmark has several."""
    return ", ".join([condition(series), *benchmark.distinction(series)])


def meaning(
    benchmark: Benchmark, results: Sequence[SeriesResult], differences: Sequence[Comparison], groups: Sequence[Group]
) -> list[str]:
    """What the figures say, in a few sentences."""
    chance = 1 / len(benchmark.classes)
    sentences = [_plain(benchmark, own, chance) for own in results if not own.series.unit]
    if reference := benchmark.about["reference"]:
        sentences.append(_unrestricted(reference, results))
    sentences += [_private(benchmark, own, differences, chance) for own in results if own.series.unit]
    sentences += [_heard_better(own) for own in differences if own.against == FEATURES]
    return sentences + _shared(benchmark, groups, results, chance)


def _plain(benchmark: Benchmark, own: SeriesResult, chance: float) -> str:
    which = ", ".join(benchmark.distinction(own.series))
    text = f"Without privacy the federation{f' ({which})' if which else ''} reaches a UAR of {score(own.uar.mean)}"
    text += f" ({interval(own.uar)})" if own.uar.ci95 else ""
    text += f", the pooled model {score(own.pooled.mean)}" if own.pooled else ""
    return f"{text}; guessing gets {score(chance)}."


def _unrestricted(reference: Mapping[str, Any], results: Sequence[SeriesResult]) -> str:
    text = "Unrestricted, with the normalisation, the model and the augmentation that no privacy forbids, it reaches "
    text += score(reference["uar"])
    plain = [own.uar.ci95[1] for own in results if not own.series.unit and own.uar.ci95]
    apart = bool(plain) and reference["ci95"] and reference["ci95"][0] > max(plain)
    return f"{text}: what the conditions share costs too." if apart else f"{text}."


def _private(benchmark: Benchmark, own: SeriesResult, differences: Sequence[Comparison], chance: float) -> str:
    text = f"With {name(benchmark, own.series)}: {score(own.uar.mean)}"
    cost = next((d for d in differences if d.series is own.series and d.against == PLAIN), None)
    text += f", {_points(cost)} than without{_chance_of(cost)}" if cost else ""
    if own.uar.ci95 is None:
        return f"{text}; too few speakers to say more."
    if own.uar.ci95[0] <= chance:
        return f"{text}. That can't be told from guessing."
    return f"{text}."


def _heard_better(own: Comparison) -> str:
    """What an encoder in front brings at the same privacy."""
    return f"The encoder, {condition(own.series)}: {_points(own)} than {FEATURES}{_chance_of(own)}."


def _points(own: Comparison) -> str:
    gained = own.difference.mean
    return f"{abs(100 * gained):.1f} points {'less' if gained < 0 else 'more'}"


def _chance_of(own: Comparison) -> str:
    return f" (p = {p_value(own.corrected)})".replace("= <", "<")


def _shared(benchmark: Benchmark, groups: Sequence[Group], results: Sequence[SeriesResult], chance: float) -> list[str]:
    """Who pays: the costs of two genders, at the condition that still learns where they differ most.

    Nothing is said where another draw of speakers could turn it round; that the largest of several differences is told
    widens its interval.
    """
    learnt = {id(own.series) for own in results if own.uar.ci95 and own.uar.ci95[0] > chance}
    paid: dict[int, list[Group]] = {}
    for group in groups:
        if group.attribute == "gender" and group.cost is not None and id(group.series) in learnt:
            paid.setdefault(id(group.series), []).append(group)
    ends = [sorted(own, key=_cost) for own in paid.values() if len(own) > 1]
    if not ends:
        return []
    most = max(ends, key=lambda own: _cost(own[-1]) - _cost(own[0]))
    high, low = most[-1], most[0]
    more = contrast(_pair(high), _pair(low), len(ends))
    if more.ci95 is None or more.ci95[0] <= 0:
        return []
    told = " and ".join(f"{group.value} speakers {100 * _cost(group):.1f} points" for group in (high, low))
    bounds = f"95 % interval {100 * more.ci95[0]:.1f} to {100 * more.ci95[1]:.1f}"
    bounds += f", wider for the choice among {len(ends)} conditions" if len(ends) > 1 else ""
    where = name(benchmark, high.series)
    return [f"The genders' costs differ most at {where}: it costs {told}, {100 * more.mean:.1f} more ({bounds})."]


def _cost(group: Group) -> float:
    return group.cost.mean if group.cost else 0.0


def _pair(group: Group) -> tuple[Confusion, Confusion]:
    """Its counts without and with privacy."""
    return (group.counts if group.plain is None else group.plain), group.counts
