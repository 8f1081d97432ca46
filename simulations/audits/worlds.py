"""Federations with a run's settings and half of its training data left out: the target and the shadows of an attack."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.learning import saved_model
from common.learning.saved_model import SavedModel
from common.splits.plan import Plan
from common.utterance import Utterance
from simulations.audits.audited_run import AuditedRun
from simulations.audits.halves import halves
from simulations.engine.fold import run_in_process
from simulations.engine.output import slug

LEVELS = ("recordings", "speakers")  # what is left out
TARGET = 0


@dataclass(frozen=True, kw_only=True)
class World:
    """One federation.

    Attributes:
        name: e.g. ``recordings-0``.
        members: the recordings that it is trained on, by ``Utterance.name``.
    """

    name: str
    members: frozenset[str]


def worlds(run: AuditedRun, training: Sequence[Utterance], level: str, shadows: int) -> list[World]:
    """The target, and the shadows in pairs, of which one leaves out what the other keeps.

    Args:
        run: that is attacked.
        training: the training speakers' utterances.
        level: ``recordings`` leaves out half of each speaker's, ``speakers`` half of each site's speakers.
        shadows: how many.
    """
    by_speaker = {s: [u.name for u in training if u.speaker == s] for s in run.plan.train_speakers}
    result = []
    for number in range(1 + shadows):
        pair, side = (TARGET, 0) if number == TARGET else (1 + (number - 1) // 2, (number - 1) % 2)
        names = (run.config.seed, "audit", level, pair)
        if level == "recordings":
            members = halves(list(by_speaker.values()), *names)[side]
        else:
            kept = halves([site.train for site in run.plan.sites], *names)[side]
            members = [name for speaker in kept for name in by_speaker[speaker]]
        result.append(World(name=f"{level}-{number}", members=frozenset(members)))
    return result


def train(
    run: AuditedRun, world: World, training: Sequence[Utterance], workers: int, on_reply: Callable[[str], None]
) -> SavedModel:
    """The model that a world ends with; one that is finished is not trained again.

    Its folder, ``RUN/audit/membership/<fold>/<world>``, has ledgers of its own: what is spent there is spent on a
    study of the simulation, and no site's budget. What its model and all others of the run's folder tell together, the
    audit says.

    Args:
        run: that is attacked.
        world: to be trained.
        training: the training speakers' utterances.
        workers: processes.
        on_reply: called with a site's name when it has answered.

    Raises:
        FedserError: the federation cannot go on.
    """
    plan = without(run.plan, training, world.members)
    own = {"privacy.canaries": 0, "federation.min_sites": min(run.config.federation.min_sites, len(plan.sites))}
    folder = folder_of(run, world)
    run_in_process(
        run.config.with_values(own),
        plan,
        folder,
        folder / "events.jsonl",
        run.cache,
        workers=workers,
        on_reply=on_reply,
    )
    return saved_model.load(folder)


def folder_of(run: AuditedRun, world: World) -> Path:
    """Where a world's federation is kept."""
    return run.path / "audit" / "membership" / slug(run.plan.fold) / world.name


def without(plan: Plan, training: Sequence[Utterance], members: Collection[str]) -> Plan:
    """A plan whose sites train on these recordings alone; those that are left without any take no part."""
    there = {u.speaker for u in training if u.name in members}
    sites = [
        dataclasses.replace(site, train=tuple(s for s in site.train if s in there), test=()) for site in plan.sites
    ]
    return dataclasses.replace(
        plan,
        test=tuple(plan.test_speakers),
        sites=tuple(site for site in sites if site.train),
        skipped=tuple(sorted({*plan.skipped, *(u.name for u in training if u.name not in members)})),
    )
