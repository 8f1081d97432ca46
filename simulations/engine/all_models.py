"""All models that a run's folder holds, and whose data went into each: what they tell together follows from that."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from common.config.units import UNITS, Unit
from common.errors import FedserError
from common.splits import plan as plans
from common.splits.plan import Plan
from common.utterance import Utterance
from server.records.composition import NoisyModel, compose, spends_of
from server.records.fold_record import AllModels, read_fold

PLACES = (  # below a run's folder, of every training that ends with a model
    "folds/*/fold.json",
    "folds/*/baselines/*/fold.json",
    "audit/*/fold.json",
    "audit/*/*/*/fold.json",
)


def held(folder: Path, utterances: Sequence[Utterance]) -> list[NoisyModel]:
    """The private models of a run's folder: of its folds, its baselines, and the audits that trained some.

    Args:
        folder: the run's.
        utterances: all that are selected, whose units are the members.

    Raises:
        FedserError: a training there cannot be read.
    """
    files = sorted(file for place in PLACES for file in folder.glob(place))
    return [_model(file, utterances) for file in files]


def _model(file: Path, utterances: Sequence[Utterance]) -> NoisyModel:
    account, plan = read_fold(file).privacy, plans.read(file.with_name("plan.json"))
    if account is None:
        raise FedserError(f"{file} is of a training without privacy, expected models that are private like the run's")
    spends = spends_of(account)
    members = members_of(plan, UNITS[account.unit], utterances)
    return NoisyModel(members=members if UNITS[account.unit].at_sites else everybody(spends, members), spends=spends)


def everybody(noised_by: Collection[str], members: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The members of all sites together, where somebody else noised what they gave."""
    return {name: [who for own in members.values() for who in own] for name in noised_by}


def members_of(plan: Plan, unit: Unit, utterances: Sequence[Utterance]) -> dict[str, list[str]]:
    """By site, the units that a training took there; where a site is the unit, who is in it.

    Args:
        plan: of the training.
        unit: of privacy.
        utterances: all that are selected.
    """
    skipped = set(plan.skipped)
    owner = {speaker: site.name for site in plan.sites for speaker in site.train}
    found: dict[str, dict[str, None]] = {site.name: {} for site in plan.sites}
    for utterance in utterances:
        if utterance.speaker in owner and utterance.name not in skipped:
            found[owner[utterance.speaker]][utterance.name if unit.single else utterance.speaker] = None
    return {site: list(own) for site, own in found.items()}


def told_together(folder: Path, utterances: Sequence[Utterance], delta: float) -> AllModels:
    """What all models of a private run's folder tell together of the unit that they tell most of.

    Args:
        folder: the run's.
        utterances: all that are selected.
        delta: of (ε, δ).

    Raises:
        FedserError: as ``held``.
    """
    return compose(held(folder, utterances), delta)
