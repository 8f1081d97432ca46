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


def compose(models: Sequence[NoisyModel], delta: float, *, quick: bool = False) -> AllModels:
    """What all models tell together of the unit that they tell most of.

    Args:
        models: of one unit of privacy.
        delta: of (ε, δ).
        quick: take RDP's ε, which is some per cent larger than PRV's and costs nothing.

    Returns:
        Its ``epsilon`` is None where something that this unit's data went into has no known bound.
    """
    most, epsilon = Went(), -1.0
    for bound, went in sorted(((_epsilon(own, delta, quick=True), own) for own in _kinds(models)), key=_first):
        if bound <= epsilon:  # PRV's is never above it
            break
        if (own := bound if quick else _epsilon(went, delta, quick=False)) > epsilon:
            most, epsilon = went, own
    return AllModels(epsilon=max(epsilon, 0.0) if epsilon < math.inf else None, delta=delta, models=most.total())


def _first(bounded: tuple[float, Went]) -> float:
    return -bounded[0]


def _kinds(models: Sequence[NoisyModel]) -> list[Went]:
    """What the units went through, each once that is the same for several of them."""
    units: dict[str, Went] = {}
    for model in models:
        for site, spend in model.spends.items():
            for who in model.members[site]:
                units.setdefault(who, Went()).update([spend])
    return [Counter(dict(own)) for own in dict.fromkeys(frozenset(own.items()) for own in units.values())]


def _epsilon(went: Went, delta: float, *, quick: bool) -> float:
    """Of a unit; inf where steps are not known."""
    from common.privacy.accounting.accountants import epsilon_prv, epsilon_rdp

    known = [spend for spend in went.elements() if spend is not None]
    if len(known) < went.total():
        return math.inf
    return (epsilon_rdp if quick else epsilon_prv)(known, delta)
