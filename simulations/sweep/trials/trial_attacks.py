"""Attacks on a sweep's trials: is a recording, a speaker, a gender told; does a canary refute the claimed ε?

The trials of one fold, seed, strategy and number of sites are attacked, one a condition, with the attacks of ``fedser
audit`` (``simulations.audits``), where their threat models stand.

Membership needs federations that half of the data is left out of. Each condition has one such target a question, all of
them with the same half; the shadow models of the likelihood ratio are shared: they are trained once, under the
condition with the least privacy. An attacker who trains shadows under every ε needs as many times the effort. Models
that read other numbers of a recording have no shadows in common: conditions with an encoder of their own share them
where their scaling and their model are the same.

The canaries are in a federation of their own, for they change what is learnt; the unit ``site`` takes none. Nor is a
gender told there: only the trusted server sees the update of one site.

What the attacks train has ledgers of its own and is a study of the simulation, no site's budget.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from common.data.resident import of_speakers, recordings_of
from common.errors import UsageError
from common.features.cache import FeatureCache
from common.learning import saved_model
from common.storage import atomic
from common.utterance import Utterance
from server.reporting.findings import largest_epsilon
from simulations.audits import attributes, canary_bound, membership
from simulations.audits.attacks.one_run import epsilon_lower_bound
from simulations.audits.audited_run import AuditedRun
from simulations.audits.single_site_updates import updates_of
from simulations.audits.worlds import LEVELS, World, without, worlds
from simulations.audits.worlds import folder_of as folder_of_world
from simulations.engine.output import slug
from simulations.sweep.trials.parts import Part, Training
from simulations.sweep.trials.parts import run as run_training
from simulations.sweep.trials.trial import Trial, folder_of

CANARIES = 400  # at each site
UPDATES = 3  # of each speaker, for the gender
ROOT = "audit"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attack:
    """The attacks on one trial.

    Attributes:
        out: the benchmark's folder.
        trial: that is attacked.
        shared: the trial with the least privacy among its ``kin``, under which the shadows are trained.
        shadows: how many for each question.
    """

    out: Path
    trial: Trial
    shared: Trial
    shadows: int

    @property
    def folder(self) -> Path:
        """Of what it finds."""
        return folder_of(self.out, self.trial) / ROOT

    @property
    def canaried(self) -> Training | None:
        """The federation with canaries; None where the condition takes none."""
        if not self.trial.config.privacy.at_sites:
            return None
        count, kept = CANARIES, self.trial.config.features.encoder.components
        if kept:  # each canary is a direction of its own, and the linear model of so few numbers has not many
            count = min(CANARIES, (kept + 1) * len(self.trial.plan.classes))
        config = self.trial.config.with_values({"privacy.canaries": count})
        folder = self.folder / "canaries"
        return Training(config=config, plan=self.trial.plan, folder=folder, ledger=folder / "ledger")


def attacked(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that are attacked: the first fold, seed, strategy and number of sites, under every condition."""
    first = trials[0]
    return [t for t in trials if (t.plan, t.seed, t.strategy, t.sites) == (first.plan, *_rest(first))]


def _rest(trial: Trial) -> tuple[int, str, str]:
    return trial.seed, trial.strategy, trial.sites


def kin(trial: Trial, trials: Sequence[Trial]) -> list[Trial]:
    """The trials whose models read a recording as this one's does, itself among them.

    All conditions that share their scaling are; of those with an encoder of their own each private unit has its own.
    """
    return [other for other in trials if _reads(other) == _reads(trial)]


def _reads(trial: Trial) -> object:
    config = trial.config
    return (config.features, config.data.normalise, config.model) if trial.condition.encoded else None


def least_private(trials: Sequence[Trial]) -> Trial:
    """The one without privacy, else the one with the largest ε."""
    return max(trials, key=lambda trial: trial.condition.epsilon)


def parts_of(attack: Attack, cache: FeatureCache) -> list[Part]:
    """What must be done for the attacks on a trial; the shadows are the same parts for every trial."""
    name, waiting = attack.trial.name, frozenset((attack.trial.name,))
    needed = {f"target {level} {name}": partial(_train_world, attack, level, 0, cache) for level in LEVELS}
    for level, number in itertools.product(LEVELS, range(1, 1 + attack.shadows)):
        shadow = f"shadow {level} {number} {attack.shared.name}"
        needed[shadow] = partial(_train_world, attack, level, number, cache)
    parts = [Part(name=own, work=work, trials=waiting) for own, work in needed.items()]
    parts.append(
        Part(name=f"membership {name}", work=partial(_members, attack, cache), after=frozenset(needed), trials=waiting)
    )
    if attack.canaried:
        parts.append(Part(name=f"canaries {name}", work=partial(_canaries, attack, cache), trials=waiting))
    if not (attack.trial.config.privacy.at_server or attack.trial.config.privacy.shared):
        parts.append(Part(name=f"gender {name}", work=partial(_gender, attack, cache), trials=waiting))
    return parts


def read_findings(attack: Attack) -> dict[str, Any]:
    """Read what the attacks found, for the trial's line: None where one does not apply."""
    kinds = ("membership", "canaries", "gender")
    files = {kind: attack.folder / f"{kind}.json" for kind in kinds}
    told = {
        kind: json.loads(file.read_text(encoding="utf-8")) if file.exists() else None for kind, file in files.items()
    }
    return {**told, "shadows": attack.shadows, "shadows_of": attack.shared.condition.name}


def _run_of(attack: Attack, trial: Trial) -> AuditedRun:
    path = folder_of(attack.out, trial)
    ledger = path / "ledger" / slug(trial.plan.fold)
    return AuditedRun(path=path, config=trial.config, plan=trial.plan, ledger=ledger, shared_ledger=False)


def _training_of(run: AuditedRun) -> list[Utterance]:
    train = set(run.plan.train_speakers)
    return [utterance for utterance in run.utterances() if utterance.speaker in train]


def _world(attack: Attack, level: str, number: int) -> tuple[AuditedRun, World]:
    """The target of the attacked trial, or a shadow of the shared one; who is left out is the same for all trials."""
    run = _run_of(attack, attack.shared if number else attack.trial)
    return run, worlds(run, _training_of(run), level, attack.shadows)[number]


def _train_world(attack: Attack, level: str, number: int, cache: FeatureCache) -> None:
    run, world = _world(attack, level, number)
    plan = without(run.plan, _training_of(run), world.members)
    config = run.config.with_values({"federation.min_sites": min(run.config.federation.min_sites, len(plan.sites))})
    folder = folder_of_world(run, world)
    run_training(Training(config=config, plan=plan, folder=folder, ledger=folder / "ledger"), cache)


def _members(attack: Attack, cache: FeatureCache) -> None:
    run = _run_of(attack, attack.trial)
    everyone = recordings_of(run.config, run.plan, {u.speaker for u in run.utterances()}, cache)
    training = of_speakers(everyone, run.plan.train_speakers)
    labels = [run.plan.classes.index(r.utterance.emotion) for r in training]
    speakers = [r.utterance.speaker for r in training]
    told: dict[str, Any] = {}
    for level in LEVELS:
        own = [_world(attack, level, number) for number in range(1 + attack.shadows)]
        logits = [membership.logits_of(saved_model.load(folder_of_world(*pair)), training) for pair in own]
        members = [[r.utterance.name in world.members for r in training] for _, world in own]
        results = membership.attack(np.stack(logits), np.array(members), labels, speakers, level)
        told[level] = {name: dataclasses.asdict(result) for name, result in results.items()}
    _write(attack, "membership", told)


def _canaries(attack: Attack, cache: FeatureCache) -> None:
    training = attack.canaried
    if training is None:
        return
    run_training(training, cache)
    planted = canary_bound.read(sorted(training.ledger.rglob(f"*{canary_bound.SUFFIX}")))
    bound = epsilon_lower_bound(planted.scores, planted.included, training.config.privacy.delta)
    most = epsilon_lower_bound(planted.included, planted.included, training.config.privacy.delta)
    account = training.result().privacy
    claimed = largest_epsilon(account) if account else None
    _write(attack, "canaries", {**dataclasses.asdict(bound), "claimed_epsilon": claimed, "largest_bound": most.epsilon})


def _gender(attack: Attack, cache: FeatureCache) -> None:
    run = _run_of(attack, attack.trial)
    try:
        gender = attributes.genders(run.utterances())
    except UsageError:
        return  # a corpus that doesn't tell it
    everyone = recordings_of(run.config, run.plan, {u.speaker for u in run.utterances()}, cache)
    count = min(UPDATES, run.config.federation.rounds)
    updates = updates_of(
        run,
        sorted(gender),
        run.initial_model(everyone[0].versions[0].shape[1]).state_dict(),
        run.scaling(everyone),
        count=count,
        workers=0,
        on_reply=lambda _: None,
    )
    _write(attack, "gender", dataclasses.asdict(attributes.attack(updates, gender, run.config.seed)))


def _write(attack: Attack, kind: str, told: Mapping[str, Any]) -> None:
    atomic.write(attack.folder / f"{kind}.json", json.dumps(told, allow_nan=False))
