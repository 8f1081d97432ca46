"""What several models tell together of a unit whose data went into all of them: folds, baselines, trials, shadows.

Guarantee. The unit and its neighbours are those of the models, who all hide the same. A unit's data went through the
noisy steps of the site that held it, for each model anew, so that whoever has all models has seen all these steps: ε is
that of their composition, by the PRV accountant (``common.privacy.accounting.accountants``, whose assumptions hold),
for noise that was fixed before the first model. Public: who was where, the numbers of steps, sample rates and noise.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.records.fold_record import AllModels, LedgerFigures, PrivacyAccount

if TYPE_CHECKING:
    from common.privacy.accounting.accountants import Spend

Went = Counter["Spend | None"]  # the steps that a unit's data went through; None where a site keeps them to itself


@dataclass(frozen=True, kw_only=True)
class NoisyModel:
    """One model, as far as it tells of those in its data.

    Attributes:
        members: by site, whose data it held: a name of each unit, the same one for all models.
        spends: by site, or by who else added the noise, the steps; None for those that are not known.
    """

    members: Mapping[str, Collection[str]]
    spends: Mapping[str, Spend | None]


def spends_of(account: PrivacyAccount) -> dict[str, Spend | None]:
    """The noisy steps of each site, as many as there were; nothing of a site that took none."""
    return {site: _spend(account.unit, own) for site, own in account.sites.items() if own.steps != 0}


def _spend(unit: str, own: LedgerFigures) -> Spend | None:
    from common.privacy.accounting.accountants import Spend  # opacus: a second to import

    if own.steps is None or own.sample_rate is None or own.noise_multiplier is None:
        return None
    return Spend(unit=unit, sample_rate=own.sample_rate, noise_multiplier=own.noise_multiplier, steps=own.steps)


def compose(models: Sequence[NoisyModel], delta: float) -> AllModels:
    """What all models tell together of the unit that they tell most of.

    Args:
        models: of one unit of privacy.
        delta: of (ε, δ).

    Returns:
        Its ``epsilon`` is None where something that this unit's data went into has no known bound.
    """
    from common.privacy.accounting.accountants import epsilon_prv

    most, epsilon = Went(), -1.0
    for most_of, went in sorted(((_bound(own, delta), own) for own in _kinds(models)), key=lambda own: -own[0]):
        if most_of <= epsilon:  # PRV's is never above it
            break
        own = math.inf if most_of == math.inf else epsilon_prv([s for s in went.elements() if s is not None], delta)
        if own > epsilon:
            most, epsilon = went, own
    return AllModels(epsilon=max(epsilon, 0.0) if epsilon < math.inf else None, delta=delta, models=most.total())


def bound(models: Sequence[NoisyModel], delta: float) -> float:
    """As ``compose``, by RDP: some per cent larger, and at no cost; inf where it is not known."""
    return max((_bound(went, delta) for went in _kinds(models)), default=0.0)


def _kinds(models: Sequence[NoisyModel]) -> list[Went]:
    """What the units went through, each once that is the same for several of them."""
    units: dict[str, Went] = {}
    for model in models:
        for site, spend in model.spends.items():
            for who in model.members[site]:
                units.setdefault(who, Went()).update([spend])
    return [Counter(dict(own)) for own in dict.fromkeys(frozenset(own.items()) for own in units.values())]


def _bound(went: Went, delta: float) -> float:
    """RDP's ε, which costs nothing; inf where steps are not known."""
    from common.privacy.accounting.accountants import epsilon_rdp

    known = [spend for spend in went.elements() if spend is not None]
    return epsilon_rdp(known, delta) if len(known) == went.total() else math.inf
