"""What a private run would cost a site's people, by its terms and the site's ledger."""

from __future__ import annotations

import math
from typing import Any

from common.config.settings import PrivacyConfig
from common.privacy.accounting.accountants import epsilon_prv, epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.ledger.budget_unit import budget_unit
from common.privacy.terms import from_json


def cost(ledger: Ledger, privacy: PrivacyConfig, run: str) -> dict[str, Any]:
    """The ε of a round, of the run, and of all runs before and with it, for each unit at the run's δ.

    What all runs tell is told of the budget's unit, which the run's may hold several of.

    Args:
        ledger: in which the run has begun, unless the site's budget was spent before.
        privacy: of the run.
        run: its name.
    """
    unit = budget_unit(ledger.begun(), privacy.unit)
    kept, spent = ledger.terms(run), ledger.spends(unit)
    before = spent[: len(spent) - len(ledger.spends(unit, run))]
    told = {"unit": privacy.unit, "budget_unit": unit, "delta": privacy.delta}
    told["epsilon_before"] = _finite(epsilon_rdp(before, privacy.delta))
    if kept is None:
        return {**told, "stopped": True}
    terms = from_json(kept)
    whole = terms.spend(terms.steps_per_round * terms.rounds)
    return {
        **told,
        "units": terms.units,
        "noise_multiplier": terms.noise_multiplier,
        "epsilon_round": _finite(epsilon_prv([terms.spend(terms.steps_per_round)], terms.delta)),
        "epsilon_run": _finite(epsilon_prv([whole], terms.delta)),
        "epsilon_after": _finite(epsilon_rdp([*before, whole.toward(unit)], terms.delta)),
        "budget": terms.budget,
        "stopped": ledger.refused(run),
    }


def _finite(epsilon: float) -> float | None:
    return epsilon if epsilon < math.inf else None
