"""What publishing all models of a benchmark would tell: each trial's ε is of its own model alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common.config.settings import Config
from common.config.units import UNITS, Unit
from common.privacy.accounting.accountants import Spend, epsilon_rdp
from common.privacy.terms import Terms
from server.records.composition import NoisyModel, compose
from server.records.fold_record import AllModels
from simulations.sweep.statistics.series import Benchmark
from simulations.sweep.trials.results import Row

ANYWHERE = "any site"  # a line doesn't say who is at which, so everybody is taken to be where most is told
STEPS = ("training.batch_size", "training.local_epochs", "federation.rounds", "privacy.sample_rate", "privacy.delta")


def publishing(benchmark: Benchmark) -> str | None:
    """The sentence that the page has on it; None where no trial is private."""
    units = [unit for unit in UNITS.values() if any(row["unit"] == unit.name for row in benchmark.rows)]
    if not units:
        return None
    told = [_words(unit, all_models(benchmark, unit)) for unit in units]
    text = "Each trial has its own ledger, and its ε is of its own model. All private models published together, "
    text += f"baselines and candidates with them, would tell {', and '.join(told)} (RDP)"
    text += "; the models without privacy no ε bounds" if any(not row["unit"] for row in benchmark.rows) else ""
    return f"{text}. What attacks trained is not in it."


def _words(unit: Unit, together: AllModels) -> str:
    known = "an unknown ε" if together.epsilon is None else f"at most ε = {together.epsilon:.3g}"
    return f"{known} at δ = {together.delta:g} of one {unit.noun}, which is in the data of {together.models} of them"


def all_models(benchmark: Benchmark, unit: Unit) -> AllModels:
    """What all private models of a benchmark tell together of the unit that they tell most of, by RDP.

    A model that hides a larger unit counts as one with half the noise: when one recording goes, what its speaker adds
    to a sum moves by up to twice its bound (``common.config.units``).

    Args:
        benchmark: with one trial or more.
        unit: of whom it is.
    """
    people = list(benchmark.about["corpus"]["speakers"])
    private = [row for row in benchmark.rows if row["unit"] and UNITS[row["unit"]].covers(unit.name)]
    models = [model for row in private for model in _of_trial(row, unit, people)]
    baselines = {_place(row): row for row in private if row["details"]["pooled"] is not None}
    models += [model for row in baselines.values() for model in _of_baselines(row, unit, people)]
    return compose(models, min(row["delta"] for row in private), quick=True)


def _place(row: Row) -> tuple[Any, ...]:
    """What the trials have in common that share their baselines; where settings are chosen, each has its own."""
    own = row["strategy"] if row["details"].get("tuning") else None
    return row["details"]["condition"], row["details"]["sites"], row["fold"], row["seed"], own


def _of_trial(row: Row, unit: Unit, people: Sequence[str]) -> Iterator[NoisyModel]:
    """Its federation, and as many candidates of its settings as were tried, which took the same steps."""
    for _ in range(1 + len(row["details"].get("tuning") or ())):
        yield _model(row, unit, people, _most(row))


def _of_baselines(row: Row, unit: Unit, people: Sequence[str]) -> Iterator[NoisyModel]:
    """A site alone takes the steps that it takes in the federation; the pooled model those of all units."""
    yield _model(row, unit, people, _most(row))
    if row["config"]["privacy.sample_rate"]:
        yield _model(row, unit, people, _most(row))
        return
    asked = {name: row["config"][name] for name in STEPS}
    asked |= {"privacy.unit": row["unit"], "privacy.epsilon": row["target_epsilon"]}
    terms = Terms.of(Config().with_values(asked), sum(row["details"]["units"].values()), [])
    yield _model(row, unit, people, terms.spend(terms.steps_per_round * terms.rounds))


def _most(row: Row) -> Spend | None:
    """The steps of the site that told most; None where a site told none."""
    spends = [_spend(row["unit"], own) for own in row["details"]["privacy"].values()]
    return max(spends, key=lambda own: epsilon_rdp([own], row["delta"]), default=None)


def _spend(unit: str, own: Mapping[str, Any]) -> Spend:
    noise = own["noise_multiplier"] or 0.0
    return Spend(unit=unit, sample_rate=own["sample_rate"], noise_multiplier=noise, steps=own["steps"])


def _model(row: Row, unit: Unit, people: Sequence[str], spend: Spend | None) -> NoisyModel:
    there = set(people) - set(row["details"]["speakers"])
    factor = UNITS[row["unit"]].hides.get(unit.name, 1)
    if spend is not None:
        noise = spend.noise_multiplier / factor
        spend = Spend(unit=unit.name, sample_rate=spend.sample_rate, noise_multiplier=noise, steps=spend.steps)
    return NoisyModel(members={ANYWHERE: sorted(there)}, spends={ANYWHERE: spend})
