"""Whether a private run keeps its budget over all models that it would train: asked of its plan, before the first fold.

A site's ledger keeps a budget as its steps come (``common.privacy.ledger``). Where a person's data goes into several
models of a run, each with a ledger of its own, that is too late: the last folds would have other noise than the first,
or none of the budget left. So here the noise of all is that of the target, and fits the budget, or nothing begins.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from common.config.settings import Config
from common.errors import UsageError
from common.privacy.accounting.accountants import Filter, Spend, epsilon_prv
from common.privacy.ledger.account import Ledger
from common.privacy.ledger.budget_unit import budget_unit
from common.privacy.terms import FEDERATION, Terms
from common.splits.plan import Plan
from common.utterance import Utterance
from server.records.composition import NoisyModel, compose
from simulations.engine.all_models import everybody, members_of
from simulations.engine.baselines import baseline_plans
from simulations.engine.promises import units_at_sites

_MORE, _MOST = 1.01, 1e3  # of the noise: by which factor it grows, and grows in all, in search of one that fits


def planned_models(
    config: Config, plans: Sequence[Plan], utterances: Sequence[Utterance], *, baselines: bool
) -> list[NoisyModel]:
    """The models of a private run, with all the steps that they would take to meet its target.

    Args:
        config: of the run.
        plans: of its folds.
        utterances: all that are selected.
        baselines: whether the pooled model and each site alone are trained too.

    Raises:
        UsageError: as ``common.privacy.terms.Terms.of``.
    """
    every = [own for plan in plans for own in (plan, *(baseline_plans(plan).values() if baselines else ()))]
    return [_planned(config.with_values({"privacy.budget": "inf"}), plan, utterances) for plan in every]


def _planned(config: Config, plan: Plan, utterances: Sequence[Utterance]) -> NoisyModel:
    members = members_of(plan, config.privacy.protects, utterances)
    units = units_at_sites(config, plan, utterances)
    if config.privacy.at_server:
        units, members = {FEDERATION: len(plan.sites)}, everybody([FEDERATION], members)
    terms = {site: Terms.of(config, count, []) for site, count in units.items()}
    spends = {site: own.spend(own.steps_per_round * own.rounds) for site, own in terms.items()}
    return NoisyModel(members=members, spends=spends)


def refuse_passed_budget(
    config: Config, plans: Sequence[Plan], utterances: Sequence[Utterance], *, baselines: bool, ledger: Path | None
) -> None:
    """Refuse a run whose models together would pass its budget, though each met its target.

    Where nobody is in two of them, the sites' ledgers keep the budget, and give a model more noise where it binds.

    Args:
        config: of the run.
        plans: of its folds.
        utterances: all that are selected.
        baselines: whether these are trained too.
        ledger: the folder of ledgers that other runs have written into; None where each model has new ones.

    Raises:
        UsageError: it would; both figures are named.
    """
    if not config.privacy.on or math.isinf(config.privacy.budget):
        return
    models = planned_models(config, plans, utterances, baselines=baselines)
    together = compose(models, config.privacy.delta)
    if together.models < 2:
        return
    reached = together.epsilon or math.inf if ledger is None else _with_ledger(config, models, ledger)
    if reached <= config.privacy.budget:
        return
    advice = f"{_fitting(config, models)}, " if ledger is None else "less, "
    noise = config.privacy.noise_multiplier
    asked = f"--noise-multiplier {noise:g}" if noise else f"--epsilon {config.privacy.epsilon:g}"
    raise UsageError(
        f"{asked} is of each model, and what a {config.privacy.protects.noun} tells in {together.models} of this run's "
        f"comes to ε = {reached:.3g}{' with what the ledger holds' if ledger else ''}, above --budget "
        f"{config.privacy.budget:g}: give {advice}fewer folds, or a larger --budget"
    )


def _with_ledger(config: Config, models: Sequence[NoisyModel], ledger: Path) -> float:
    """The largest ε that a site's ledger would come to, by the filter that keeps its budget."""
    wanted: dict[str, list[Spend]] = {}
    for model in models:
        for site, own in model.spends.items():
            wanted.setdefault(site, []).extend([own] if own else [])
    return max(_of_ledger(config, Ledger.of_site(ledger, site), own) for site, own in wanted.items())


def _of_ledger(config: Config, ledger: Ledger, wanted: Sequence[Spend]) -> float:
    """The ε of what a site's ledger holds and of what is wanted, for its budget's unit and at its order."""
    begun = ledger.begun()
    unit = budget_unit(begun, config.privacy.unit)
    order = next((terms["order"] for terms in begun if terms.get("order")), None)
    keep = Filter(config.privacy.budget, config.privacy.delta, unit, order)
    return keep.epsilon([*ledger.spends(unit), *wanted])


def _fitting(config: Config, models: Sequence[NoisyModel]) -> str:
    """What would fit: the least noise with which all models keep the budget, or the ε that each has with that."""
    budget, delta = config.privacy.budget, config.privacy.delta
    share = _epsilon(models, delta) / _epsilon(models, delta, quick=True)
    low, factor = 1.0, _MOST  # of the first the budget is passed
    while factor > _MORE * low:
        middle = math.sqrt(low * factor)
        passed = share * _epsilon(_with_more(models, middle), delta, quick=True) > budget
        low, factor = (middle, factor) if passed else (low, middle)
    while factor < _MOST and _epsilon(_with_more(models, factor), delta) > budget:
        factor *= _MORE
    if factor >= _MOST:
        return "more noise"
    if config.privacy.noise_multiplier:
        return f"--noise-multiplier {_rounded(config.privacy.noise_multiplier * factor, math.ceil):g} or more"
    each = {spend for model in _with_more(models, factor) for spend in model.spends.values() if spend}
    return f"--epsilon {_rounded(min(epsilon_prv([spend], delta) for spend in each), math.floor):g} or less"


def _epsilon(models: Sequence[NoisyModel], delta: float, *, quick: bool = False) -> float:
    return compose(models, delta, quick=quick).epsilon or 0.0


def _with_more(models: Sequence[NoisyModel], factor: float) -> list[NoisyModel]:
    """The same models with so many times the noise."""
    return [
        dataclasses.replace(
            model,
            spends={
                site: own and dataclasses.replace(own, noise_multiplier=own.noise_multiplier * factor)
                for site, own in model.spends.items()
            },
        )
        for model in models
    ]


def _rounded(value: float, to: Callable[[float], int]) -> float:
    """To three digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return to(value / unit) * unit
