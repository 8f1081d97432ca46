"""The words of the page: what conditions, differences and p-values are called, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from server.wording import NONE, score
from simulations.benchmark.findings import Comparison, Group, Result
from simulations.benchmark.series import Benchmark, Series
from simulations.benchmark.statistics import Estimate

PROTECTED = {"utterance": "each recording", "speaker": "each speaker", "site": "each site"}


def condition(series: Series) -> str:
    """``no privacy``, or ``utterance, ε = 8``."""
    return f"{series.unit}, ε = {series.epsilon:g}" if series.unit else "no privacy"


def name(benchmark: Benchmark, series: Series) -> str:
    """A series' name; with the strategy and the sites where the benchmark has several."""
    return ", ".join([condition(series), *benchmark.distinction(series)])


def interval(estimate: Estimate | None) -> str:
    """``0.812 to 0.904``; a dash where there is none."""
    if estimate is None or estimate.ci95 is None:
        return NONE
    return f"{score(estimate.ci95[0])} to {score(estimate.ci95[1])}"


def signed(value: float | None) -> str:
    """A difference in UAR with its sign."""
    return NONE if value is None else f"{value:+.3f}".replace("-", "\u2212")


def p_value(value: float) -> str:
    """To three digits, and no smaller than it can be told."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def meaning(
    benchmark: Benchmark, results: Sequence[Result], differences: Sequence[Comparison], groups: Sequence[Group]
) -> list[str]:
    """What the figures say, in a few sentences."""
    chance = 1 / len(benchmark.classes)
    sentences = [_plain(own, chance) for own in results if not own.series.unit][:1]
    if reference := benchmark.about["reference"]:
        sentences.append(
            f"Unrestricted, with the normalisation, the model and the augmentation that no privacy forbids, it reaches "
            f"{score(reference['uar'])}: what the conditions share costs too."
        )
    for own in results:
        if own.series.unit:
            sentences.append(_private(benchmark, own, differences, chance))
    return sentences + _shared(groups, results, chance)


def _plain(own: Result, chance: float) -> str:
    text = f"Without privacy the federation reaches a UAR of {score(own.uar.mean)}"
    text += f" ({interval(own.uar)})" if own.uar.ci95 else ""
    text += f", the pooled model {score(own.pooled.mean)}" if own.pooled else ""
    return f"{text}; guessing gets {score(chance)}."


def _private(benchmark: Benchmark, own: Result, differences: Sequence[Comparison], chance: float) -> str:
    text = f"With {name(benchmark, own.series)}: {score(own.uar.mean)}"
    cost = next((d for d in differences if d.series is own.series and d.against == "no privacy"), None)
    if cost:
        lost = cost.difference.mean
        text += f", {abs(100 * lost):.1f} points {'less' if lost < 0 else 'more'} than without"
        text += f" (p = {p_value(cost.corrected)})".replace("= <", "<")
    if own.uar.ci95 is None:
        return f"{text}; too few speakers to say more."
    if own.uar.ci95[0] <= chance:
        return f"{text}. That can't be told from guessing."
    return f"{text}."


def _shared(groups: Sequence[Group], results: Sequence[Result], chance: float) -> list[str]:
    """Who pays: the costs of each gender, at the condition that still learns where they differ most."""
    learnt = {id(own.series) for own in results if own.uar.ci95 and own.uar.ci95[0] > chance}
    costs: dict[int, dict[str, float]] = {}
    for group in groups:
        if group.attribute == "gender" and group.cost is not None and id(group.series) in learnt:
            costs.setdefault(id(group.series), {})[group.value] = group.cost
    if not any(len(own) > 1 for own in costs.values()):
        return []
    most = max(costs, key=lambda key: max(costs[key].values()) - min(costs[key].values()))
    series = next(group.series for group in groups if id(group.series) == most)
    told = ", ".join(f"{value} speakers {100 * cost:.1f} points" for value, cost in costs[most].items())
    return [f"The genders' costs differ most at {condition(series)}: it costs {told}."]
