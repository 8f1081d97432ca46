"""The terms of a private run at a site: fixed before its first round, from public numbers alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from common.config.settings import Config, PrivacyConfig
from common.config.units import UNITS
from common.errors import BudgetSpent, UsageError
from common.privacy.accounting.accountants import Filter, Spend, epsilon_prv, epsilon_rdp
from common.privacy.accounting.calibration import calibrate
from common.privacy.ledger.account import Ledger
from common.privacy.ledger.budget_unit import budget_unit, refuse_other
from common.privacy.sharing import LEAST_HONEST, steps_per_round

FEDERATION = "federation"  # the name of the server's own ledger, where the unit is the site


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a run's noisy steps will be.

    Attributes:
        unit: ``utterance``, ``speaker`` or ``site``; in one of two neighbours one of them contributes nothing.
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
        budget_unit: whom the budget is for, and all runs' ε is told of: ``unit``, or a finer one.
        honest: of shared noise, how many sites' parts make it whole; None where each site's own is.
        order: of the budget's Rényi filter, fixed with the first budget of the ledger; None where none was yet.
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
    budget_unit: str = ""
    order: float | None = None
    honest: int | None = None

    @classmethod
    def of(
        cls, config: Config, units: int, spent: Sequence[Spend], *, budget_unit: str = "", order: float | None = None
    ) -> Self:
        """The terms of a run, its noise calibrated to the target, and to what is left of a budget where that binds.

        The target alone is met under the PRV accountant. A budget is kept by the Rényi filter, whose ε is some per cent
        larger, so where it binds the noise is calibrated with that.

        Args:
            config: of the run.
            units: how many there are.
            spent: on the same people, by earlier runs.
            budget_unit: whom the budget is for; the run's own unit by default.
            order: that earlier runs fixed.

        Raises:
            UsageError: δ is too large for so few units.
            BudgetSpent: nothing is left.
        """
        privacy = config.privacy
        check_delta(privacy.delta, units, privacy.unit)
        rate = sample_rate(config, units)
        terms = cls(
            unit=privacy.unit,
            units=units,
            sample_rate=rate,
            noise_multiplier=privacy.noise_multiplier,
            max_grad_norm=privacy.max_grad_norm,
            steps_per_round=steps_per_round(config, rate),
            rounds=config.federation.rounds,
            delta=privacy.delta,
            target_epsilon=_finite(privacy.epsilon),
            budget=_finite(privacy.budget),
            insecure_seed=privacy.insecure_seed,
            budget_unit=budget_unit or privacy.unit,
            order=order,
            honest=privacy.honest if privacy.shared else None,
        )
        terms = terms if privacy.noise_multiplier else terms._calibrated(spent)
        terms._check_shared(spent)
        fixed = terms.filter and terms.filter.order_of([*spent, terms.spend(1)])
        return dataclasses.replace(terms, order=fixed or order)

    def _calibrated(self, spent: Sequence[Spend]) -> Self:
        target, steps = self.target_epsilon or math.inf, self.steps_per_round * self.rounds
        noise = calibrate(target, self.delta, self.sample_rate, steps)
        terms = dataclasses.replace(self, noise_multiplier=noise)
        if (
            self.honest is not None
            or self.filter is None
            or self.budget is None
            or self.filter.admits(spent, terms.spend(steps))
        ):
            return terms
        asked = (self.budget, self.delta, self.sample_rate, steps)
        noise = calibrate(*asked, accountant="rdp", spent=spent, unit=self.unit, keep=self.filter)
        return dataclasses.replace(self, noise_multiplier=noise)

    def _check_shared(self, spent: Sequence[Spend]) -> None:
        """Refuse to begin what the site would have to leave: where all share one noise, none can take more of it."""
        if self.honest is None:
            return
        if self.honest < LEAST_HONEST:
            raise UsageError(
                f"privacy.honest is {self.honest}, expected {LEAST_HONEST} or more sites: whoever plans the run says it"
            )
        if self.filter and not self.filter.admits(spent, self.spend(self.steps_per_round * self.rounds)):
            raise BudgetSpent(
                f"the budget of ε = {self.budget:g} does not hold the {self.rounds} steps of a run with shared noise"
            )

    @property
    def filter(self) -> Filter | None:
        """What refuses a step that would pass the budget; None where there is none."""
        return None if self.budget is None else Filter(self.budget, self.delta, self.budget_unit, self.order)

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
            total: all runs' steps, as those of ``budget_unit``.
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
            "budget_unit": self.budget_unit,
            "stopped": stopped,
        }


def _as_json(terms: Terms) -> dict[str, Any]:
    """As a ledger keeps them."""
    return {name: value for name, value in dataclasses.asdict(terms).items() if name != "honest" or value is not None}


def from_json(values: Mapping[str, Any]) -> Terms:
    """The terms as a ledger keeps them; the budget of an older one is for the run's own unit."""
    own = {"budget_unit": values["unit"], "order": None, "honest": None, **values}
    return Terms(**{field.name: own[field.name] for field in dataclasses.fields(Terms)})


def agree_terms(
    ledger: Ledger, run: str, config: Config, units: int, *, most: float = math.inf, named: str = ""
) -> Terms:
    """Read a run's terms from its ledger, or, in its first round, write new ones there.

    The budget is the smaller of the one that was kept and today's: whoever lowers it is obeyed at once.

    Args:
        ledger: of the site, or of the federation.
        run: its name, which the server chooses.
        config: of the run.
        units: how many there are.
        most: the greatest ε that the run may come to.
        named: the unit that the site's policy names; empty for none.

    Raises:
        UsageError: as ``Terms.of``; the run comes to more than ``most``; a run of this name began here on other terms,
            which the policy that allowed this one has not seen; or as ``budget_unit.refuse_other``.
        BudgetSpent: nothing is left.
    """
    kept, begun, privacy = ledger.terms(run), ledger.begun(), config.privacy
    if privacy.budget < math.inf or (kept and kept.get("budget")):
        refuse_other(begun, privacy, named=named)
    unit = budget_unit(begun, privacy.unit, named=named)
    if kept is None:
        fixed = next((terms["order"] for terms in begun if terms.get("order")), None)
        terms = Terms.of(config, units, ledger.spends(unit), budget_unit=unit, order=fixed)
        _check_most(terms, most)
        kept = ledger.begin(run, _as_json(terms))
    terms = from_json(kept)
    check_same(run, terms, config)
    _check_most(terms, most)
    return as_of_now(terms, ledger, privacy, named=named)


def as_of_now(terms: Terms, ledger: Ledger, privacy: PrivacyConfig, *, named: str = "") -> Terms:
    """A run's terms with the smaller of its budget and today's, for the unit that the ledger's runs have by now.

    Args:
        terms: as the ledger keeps them.
        ledger: in which the run began.
        privacy: of the run, with the site's budget.
        named: as for ``agree_terms``.
    """
    budgets = [budget for budget in (terms.budget, _finite(privacy.budget)) if budget is not None]
    unit = budget_unit(ledger.begun(), terms.unit, named=named)
    return dataclasses.replace(terms, budget=min(budgets, default=None), budget_unit=unit)


def check_same(run: str, terms: Terms, config: Config) -> None:
    """Refuse to go on with a run on other terms than it began with.

    Args:
        run: its name.
        terms: as the ledger keeps them.
        config: of the run, as it is asked to go on.

    Raises:
        UsageError: they differ; the first that does is named.
    """
    privacy = config.privacy
    asked = {
        "unit": privacy.unit,
        "delta": privacy.delta,
        "target_epsilon": _finite(privacy.epsilon),
        "rounds": config.federation.rounds,
        "insecure_seed": privacy.insecure_seed,
        "honest": privacy.honest if privacy.shared else None,
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


def nothing_spent(config: Config, units: int, total: Sequence[Spend], unit: str) -> dict[str, Any]:
    """What a site tells whose budget was spent before the run: as ``Terms.figures``, with no noise for no step.

    Args:
        config: of the run.
        units: how many there are.
        total: all runs' steps, as those of ``unit``.
        unit: whom the budget is for.
    """
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
        "budget_unit": unit,
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
