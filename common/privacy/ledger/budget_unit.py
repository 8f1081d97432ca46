"""Whom a ledger's budget is for: one unit, at one δ.

A budget bounds what all runs together tell of one unit. A site's policy may name it; else the ledger's first run did.
Steps that hide a coarser unit count in it (``Spend.toward``). What hides only a finer one, or nobody, would tell of the
unit without any bound, and another δ makes another sum: such a run is refused wherever there is a budget. Where there
is none the ledger is an account and nothing more: then all is told of the finest unit that a run hid, the one that
every step bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.config.settings import Config, PrivacyConfig
from common.config.units import UNITS, finest
from common.errors import UsageError
from common.privacy.ledger.entries import account
from common.storage.chained_file import Chain

Terms = Mapping[str, Any]  # a run's, as its ledger keeps them


def budget_unit(begun: Sequence[Terms], unit: str, *, named: str = "") -> str:
    """The unit that all steps bound: the finest that a run hid, that this one hides, or that is named.

    Args:
        begun: the terms of the ledger's runs.
        unit: of this run.
        named: the unit that the site's policy names; empty where it names none.
    """
    return finest([unit, named or unit, *(terms["unit"] for terms in begun)])


def refuse_other(begun: Sequence[Terms], privacy: PrivacyConfig, *, named: str = "") -> None:
    """Refuse a run that no budget of this ledger could count.

    Args:
        begun: the terms of the ledger's runs, in their order.
        privacy: of the run.
        named: the unit that the site's policy names; empty where it names none.

    Raises:
        UsageError: the run hides a finer unit than the budget is for, or the server's alone; its δ is another; or the
            ledger holds steps of a finer unit.
    """
    unit = named or (begun[0]["unit"] if begun else privacy.unit)
    if not UNITS[privacy.unit].covers(unit):
        raise UsageError(
            f"the run hides the {privacy.unit}, the ledger's budget is for each {unit}, of whom it would tell without "
            f"bound; take --privacy-unit {unit}, or another --ledger for other people"
        )
    if UNITS[unit].at_sites and not UNITS[privacy.unit].at_sites:
        raise UsageError(
            f"the run hides the {privacy.unit}, whose noise the server adds and which counts in no site's ledger; the "
            f"budget is for each {unit}: take --privacy-unit {unit}"
        )
    if finer := next((terms["unit"] for terms in begun if not UNITS[terms["unit"]].covers(unit)), None):
        raise UsageError(
            f"the ledger holds steps that hid the {finer}, which told of a {unit} without bound: no budget for each "
            f"{unit} can be kept there; take --privacy-unit {finer}, and in a site's policy unit = {finer}"
        )
    delta = next((terms["delta"] for terms in begun if terms["unit"] == unit), privacy.delta)
    if delta != privacy.delta:
        raise UsageError(
            f"the run's δ is {privacy.delta:g}, the ledger's budget is at δ = {delta:g}; give --delta {delta:g}"
        )


def joined(folder: Path, config: Config) -> Config:
    """The settings of a run that joins others in a folder of ledgers: with the budget that these had last, if any had.

    Args:
        folder: of the ledgers; it need not exist.
        config: of the run; a budget of its own is kept.

    Raises:
        UsageError: as ``refuse_other``, or the run is not private, where there is a budget.
        LedgerError: a ledger cannot be read.
    """
    begun = _begun(folder)
    privacy, budgets = config.privacy, [terms["budget"] for terms in begun if terms.get("budget")]
    if math.isinf(privacy.budget) and not budgets:
        return config
    if not privacy.on:
        raise UsageError(
            f"the ledger {folder} has a budget of ε = {budgets[-1]:g}, and a run without privacy would tell of its "
            "people without bound; give --epsilon, or another --ledger for other people"
        )
    refuse_other(begun, privacy)
    return config if privacy.budget < math.inf else config.with_values({"privacy.budget": budgets[-1]})


def _begun(folder: Path) -> list[Terms]:
    """The terms of all runs of a folder's ledgers, in the order in which they began."""
    found: list[tuple[str, Terms]] = []
    for path in sorted(folder.glob("*.jsonl")):
        summed = account(Chain(path).read(), path)
        found += [(summed.begun[run], terms) for run, terms in summed.terms.items()]
    return [terms for _, terms in sorted(found, key=lambda item: item[0])]
