"""The terms of a private run at a site: fixed before its first round, from public numbers alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from common.config.settings import Config
from common.config.units import UNITS
from common.errors import UsageError
from common.privacy.accounting.accountants import Filter, Spend, epsilon_prv, epsilon_rdp
from common.privacy.accounting.calibration import calibrate
from common.privacy.ledger.account import Ledger

FEDERATION = "federation"  # the name of the server's own ledger, where the unit is the site


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a run's noisy steps will be.

    Attributes:
        unit: ``utterance``, ``speaker`` or ``site``; neighbours differ in one of them, added or removed.
        units: how many of them there are; public.
        sample_rate: the chance of each to be drawn in a step.
        noise_multiplier: the noise's deviation over ``max_grad_norm``.
        max_grad_norm: the bound on each unit's contribution.
        steps_per_round: noisy steps a round.
        rounds: how many.
        delta: of (ε, δ).
        target_epsilon: what was asked for; None where a noise multiplier was.
        budget: over all runs; None for none.
        insecure_seed: the noise can be replayed, and nothing is guaranteed.
    """

    unit: str
    units: int
    sample_rate: float
    noise_multiplier: float
    max_grad_norm: float
    steps_per_round: int
    rounds: int
    delta: float
    target_epsilon: float | None
    budget: float | None
    insecure_seed: bool

    @classmethod
    def of(cls, config: Config, units: int, spent: Sequence[Spend]) -> Self:
        """The terms of a run, its noise calibrated to the target, and to what is left of a budget where that binds.

        The target alone is met under the PRV accountant. A budget is kept by the Rényi filter, whose ε is some per cent
        larger, so where it binds the noise is calibrated with that.

        Args:
            config: of the run.
            units: how many there are.
            spent: on the same people, by earlier runs.

        Raises:
            UsageError: δ is too large for so few units.
            BudgetSpent: nothing is left.
        """
        privacy = config.privacy
        check_delta(privacy.delta, units, privacy.unit)
        rate = sample_rate(config, units)
        per_round = max(1, round(config.training.local_epochs / rate)) if privacy.protects.at_sites else 1
        terms = cls(
            unit=privacy.unit,
            units=units,
            sample_rate=rate,
            noise_multiplier=privacy.noise_multiplier,
            max_grad_norm=privacy.max_grad_norm,
            steps_per_round=per_round,
            rounds=config.federation.rounds,
            delta=privacy.delta,
            target_epsilon=_finite(privacy.epsilon),
            budget=_finite(privacy.budget),
            insecure_seed=privacy.insecure_seed,
        )
        return terms if privacy.noise_multiplier else terms._calibrated(spent)

    def _calibrated(self, spent: Sequence[Spend]) -> Self:
        target, steps = self.target_epsilon or math.inf, self.steps_per_round * self.rounds
        noise = calibrate(target, self.delta, self.sample_rate, steps)
        terms = dataclasses.replace(self, noise_multiplier=noise)
        if self.filter is None or self.budget is None or self.filter.admits(spent, terms.spend(steps)):
            return terms
        noise = calibrate(self.budget, self.delta, self.sample_rate, steps, accountant="rdp", spent=spent)
        return dataclasses.replace(self, noise_multiplier=noise)

    @property
    def filter(self) -> Filter | None:
        """What refuses a step that would pass the budget; None where there is none."""
        return None if self.budget is None else Filter(self.budget, self.delta)

    def spend(self, steps: int) -> Spend:
        """So many of these steps."""
        rate, noise = self.sample_rate, self.noise_multiplier
        return Spend(unit=self.unit, sample_rate=rate, noise_multiplier=noise, steps=steps)

    def affordable(self, spent: Sequence[Spend]) -> int:
        """The most steps of a round that the budget admits; ``steps_per_round`` where there is none."""
        if self.filter is None:
            return self.steps_per_round
        low, high = 0, self.steps_per_round  # low is admitted
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.filter.admits(spent, self.spend(middle)) else (low, middle - 1)
        return low

    def figures(
        self, run: Sequence[Spend], total: Sequence[Spend], *, stopped: bool, quick: bool = False
    ) -> dict[str, Any]:
        """What ``result.json`` tells of a site.

        Args:
            run: this run's steps.
            total: all runs' steps of this unit.
            stopped: the budget ended the run early, or the site is out of it for rounds that were cut short.
            quick: take RDP's ε of the run, which is larger than PRV's and costs nothing: while the run goes on.
        """
        return {
            "epsilon": (epsilon_rdp if quick else epsilon_prv)(run, self.delta),
            "epsilon_total": epsilon_rdp(total, self.delta),
            "epsilon_rdp": epsilon_rdp(run, self.delta),
            "delta": self.delta,
            "noise_multiplier": self.noise_multiplier,
            "steps": sum(spend.steps for spend in run),
            "sample_rate": self.sample_rate,
            "budget": self.budget,
            "stopped": stopped,
        }


def from_json(values: Mapping[str, Any]) -> Terms:
    """The terms as a ledger keeps them."""
    return Terms(**{field.name: values[field.name] for field in dataclasses.fields(Terms)})


def agree_terms(ledger: Ledger, run: str, config: Config, units: int, *, most: float = math.inf) -> Terms:
    """Read a run's terms from its ledger, or, in its first round, write new ones there.

    The budget is the smaller of the one that was kept and today's: whoever lowers it is obeyed at once.

    Args:
        ledger: of the site, or of the federation.
        run: its name, which the server chooses.
        config: of the run.
        units: how many there are.
        most: the greatest ε that the run may come to.

    Raises:
        UsageError: as ``Terms.of``; the run comes to more than ``most``; or a run of this name began here on other
            terms, which the policy that allowed this one has not seen.
        BudgetSpent: nothing is left.
    """
    kept = ledger.terms(run)
    if kept is None:
        terms = Terms.of(config, units, ledger.spends(config.privacy.unit))
        _check_most(terms, most)
        kept = ledger.begin(run, dataclasses.asdict(terms))
    terms = from_json(kept)
    _check_same(run, terms, config)
    _check_most(terms, most)
    budgets = [budget for budget in (terms.budget, _finite(config.privacy.budget)) if budget is not None]
    return dataclasses.replace(terms, budget=min(budgets, default=None))


def _check_same(run: str, terms: Terms, config: Config) -> None:
    privacy = config.privacy
    asked = {
        "unit": privacy.unit,
        "delta": privacy.delta,
        "target_epsilon": _finite(privacy.epsilon),
        "rounds": config.federation.rounds,
        "insecure_seed": privacy.insecure_seed,
    }
    if privacy.noise_multiplier:
        asked["noise_multiplier"] = privacy.noise_multiplier
    for name, value in asked.items():
        if (found := getattr(terms, name)) != value:
            raise UsageError(
                f"run {run} began with {name} {found} and is asked to go on with {value}; start a run of another name"
            )


def _check_most(terms: Terms, most: float) -> None:
    """Refuse noise that was fixed too low; where ε was fixed, the noise was made for it."""
    if terms.target_epsilon is not None or math.isinf(most):
        return
    steps = terms.steps_per_round * terms.rounds
    whole = [terms.spend(steps)]
    if epsilon_rdp(whole, terms.delta) <= most:  # the larger figure, and the quicker one
        return
    if (epsilon := epsilon_prv(whole, terms.delta)) > most:
        raise UsageError(
            f"with a noise multiplier of {terms.noise_multiplier:g} the run's {steps} steps come to ε = {epsilon:.3g}, "
            f"at most {most:g} is allowed; give it more noise, fewer rounds, or an --epsilon"
        )


def nothing_spent(config: Config, units: int, total: Sequence[Spend]) -> dict[str, Any]:
    """What a site tells whose budget was spent before the run: as ``Terms.figures``, with no noise for no step."""
    privacy = config.privacy
    return {
        "epsilon": 0.0,
        "epsilon_total": epsilon_rdp(total, privacy.delta),
        "epsilon_rdp": 0.0,
        "delta": privacy.delta,
        "noise_multiplier": None,
        "steps": 0,
        "sample_rate": sample_rate(config, units),
        "budget": _finite(privacy.budget),
        "stopped": True,
    }


def sample_rate(config: Config, units: int) -> float:
    """Each unit's chance to be drawn in a step; all sites take part in each round."""
    if not config.privacy.protects.at_sites:
        return 1.0
    return config.privacy.sample_rate or min(1.0, config.training.batch_size / units)


def check_delta(delta: float, units: int, unit: str) -> None:
    """Refuse a δ that would allow a tenth of a unit to be published whole.

    Raises:
        UsageError: δ is above 1 / (10 units).
    """
    most = 1 / (10 * units)
    if delta > most:
        raise UsageError(
            f"--delta {delta:g} is too large for {units} {UNITS[unit].plural}: expected at most 1/(10 n) = {most:.2g}, "
            "for a mechanism may publish a unit whole with that chance"
        )


def _finite(value: float) -> float | None:
    return value if value < math.inf else None
