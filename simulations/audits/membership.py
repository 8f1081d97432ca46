"""``fedser audit membership``: are recordings, or speakers, of the training data told from others of the same kind?

See ``simulations.audits.attacks.membership_inference`` for the threat model. For recordings, federations with the run's
settings are trained on a random half of each training speaker's recordings: the left-out half are the non-members, so
that the attack can't just measure whether a speaker was known. For speakers, on a random half of each site's training
speakers. One federation is the target, the others are the shadow models.

A recording is normalised with all that the attacker has, whether it was left out or not: by its own frames, by all
recordings of its speaker, or by the scaling that comes with the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from common.config.units import SPEAKER
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.data.resident import listing, of_speakers
from common.data.strangers import normalise_known
from common.errors import UsageError
from common.learning.saved_model import SavedModel
from common.learning.training import answers
from common.privacy.recipe import refuse_leaks
from common.progress import Display, Step
from common.validate import in_range
from server.records.fold_record import AllModels
from simulations.audits.attacks.membership_inference import (
    Membership,
    by_speaker,
    confidences,
    likelihood_ratio,
    loss_threshold,
    roc,
)
from simulations.audits.audited_run import AuditedRun
from simulations.audits.outcome import AttackFigure, Outcome, leaks
from simulations.audits.worlds import LEVELS, TARGET, train, worlds
from simulations.engine.all_models import told_together

Attacks = dict[str, Membership]


def audit(run: AuditedRun, *, shadows: int, workers: int, display: Display) -> Outcome:
    """Train the target and the shadow federations, those that aren't there yet, and attack.

    Args:
        run: that is attacked.
        shadows: shadow federations for each of the two questions.
        workers: processes.
        display: of progress.

    Raises:
        UsageError: there are too few speakers to leave half of them out.
        FedserError: a federation cannot go on.
    """
    refuse_leaks(run.config)
    in_range("--shadows", shadows, 2, 1000)
    if len(run.plan.train_speakers) < 2:
        raise UsageError(
            f"fold {run.plan.fold} has one training speaker, expected two or more to leave half of them out"
        )
    training = of_speakers(run.recordings(workers, display), run.plan.train_speakers)
    step = display.step("federations", len(LEVELS) * (1 + shadows))
    results = {level: _attack(run, training, level, shadows, workers, step) for level in LEVELS}
    figures = [figure for level in LEVELS for figure in _figures(level, results[level])]
    told = {level: {name: dataclasses.asdict(own) for name, own in of.items()} for level, of in results.items()}
    together = _together(run)
    return Outcome(
        attack="membership",
        run=run,
        details={"shadows": shadows, **told} | ({"all": together.as_json()} if together else {}),
        figures=figures,
        meaning=[*_meaning(run, results), *([_left(run, together)] if together else [])],
    )


def _together(run: AuditedRun) -> AllModels | None:
    """What the models that the run's folder holds tell together, those of this audit among them."""
    if not run.config.privacy.on:
        return None
    return told_together(run.path, listing(run.config.data).utterances, run.config.privacy.delta)


def _left(run: AuditedRun, together: AllModels) -> str:
    bound = "no known ε" if together.epsilon is None else f"ε = {together.epsilon:.3g}"
    return (
        f"The federations that this trained lie in the run's folder too: one {run.config.privacy.protects.noun} is in "
        f"the data of {together.models} models there, which together tell {bound} at δ = {together.delta:g} of it."
    )


def _attack(
    run: AuditedRun, training: Sequence[Recording], level: str, shadows: int, workers: int, step: Step
) -> Attacks:
    utterances = [recording.utterance for recording in training]
    logits, members = [], []
    for number, world in enumerate(worlds(run, utterances, level, shadows)):
        done = LEVELS.index(level) * (1 + shadows) + number
        model = train(run, world, utterances, workers, partial(_show, step, done, world.name))
        logits.append(logits_of(model, training))
        members.append([utterance.name in world.members for utterance in utterances])
        step.update(done + 1, world.name)
    labels = [run.plan.classes.index(utterance.emotion) for utterance in utterances]
    return attack(np.stack(logits), np.array(members), labels, [u.speaker for u in utterances], level)


def _show(step: Step, done: int, world: str, site: str) -> None:
    step.update(done, f"{world} {site}")


def logits_of(saved: SavedModel, recordings: Sequence[Recording]) -> npt.NDArray[np.float32]:
    """What a model says of recordings, ``(recordings, classes)``.

    Args:
        saved: the model, with the scaling that came with it.
        recordings: all of their speakers', as they were extracted.
    """
    data = SpeechDataset(normalise_known(recordings, saved.config, saved.scaling), saved.classes)
    result = np.zeros((len(data), len(saved.classes)), np.float32)
    for batch, logits in answers(saved.model, data, torch.device("cpu")):
        result[batch.index.numpy()] = logits.numpy()
    return result


def attack(
    logits: npt.NDArray[np.float32],
    members: npt.NDArray[np.bool_],
    labels: Sequence[int],
    speakers: Sequence[str],
    level: str,
) -> Attacks:
    """Both attacks on the first of several models, by name.

    Args:
        logits: ``(models, recordings, classes)``.
        members: ``(models, recordings)``: what each model was trained on.
        labels: ``(recordings,)``.
        speakers: ``(recordings,)``.
        level: ``recordings``, or ``speakers``, who are members with all their recordings or with none.
    """
    groups, losses = list(speakers), loss_threshold(logits[TARGET], labels)
    told = np.stack([confidences(own, labels) for own in logits])
    if level == "speakers":
        groups, told = by_speaker(told, speakers)
        losses, members = by_speaker(losses, speakers)[1], by_speaker(members, speakers)[1] > 0.5
    inside, names = members[TARGET], np.array(groups)
    shadow = np.arange(len(told)) != TARGET
    scores = {
        "loss_threshold": losses,
        "likelihood_ratio": likelihood_ratio(told[TARGET], told[shadow], members[shadow]),
    }
    return {
        name: roc(own[inside], own[~inside], names[inside].tolist(), names[~inside].tolist())
        for name, own in scores.items()
    }


def _figures(level: str, attacks: Attacks) -> list[AttackFigure]:
    figures = []
    for name, found in attacks.items():
        one, tenth = found.tpr_at_1_percent, found.tpr_at_01_percent
        of = f"{level}, {name.replace('_', ' ')}"
        figures += [
            AttackFigure(name=f"{of}: AUC", value=found.auc, ci95=found.auc_ci95, nothing="0.500"),
            AttackFigure(name="  TPR at 1 % FPR", value=one, ci95=found.tpr_at_1_percent_ci95, nothing="0.010"),
            AttackFigure(name="  TPR at 0.1 % FPR", value=tenth, ci95=found.tpr_at_01_percent_ci95, nothing="0.001"),
        ]
    return figures


def _meaning(run: AuditedRun, results: dict[str, Attacks]) -> list[str]:
    lines = ["AUC: the chance that a member scores above a non-member; 0.5 tells nothing, 1 all."]
    lines.append("TPR: the share of members found while so few others are accused; a dash where those are too few.")
    for level, attacks in results.items():
        words = [leaks(own.auc_ci95, 0.5) for own in attacks.values()]
        if None in words:
            lines.append(f"Of {level}: too few speakers for an interval, and nothing can be said.")
        elif any(words):
            lines.append(f"Of {level}: members are told from non-members better than by chance: the model leaks.")
        else:
            lines.append(f"Of {level}: no better than chance; that these attacks fail is no proof that all do.")
    if run.privacy and not run.config.privacy.protects.covers(SPEAKER.name):
        lines.append(
            "The run protects recordings; what is told of speakers, who have many, it does not promise to hide."
        )
    return lines
