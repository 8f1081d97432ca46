"""The choice of hyper-parameters: a random search on validation speakers, the same effort for every condition.

The space, stated here and nowhere else: the learning rate times a factor between 1/8 and 8, and the bound to which
gradients are clipped (of each unit in a private run, of the batch otherwise) times one between 1/10 and 10, both drawn
log-uniformly. The first candidate is the recipe as it is, and all conditions try the same factors.

A candidate is trained on the training speakers and scored once on validation speakers, who train nothing, neither then
nor later; test speakers are in none of this. The best is trained by the trial. Every condition, number of sites, fold
and seed chooses for itself.

What the choice tells of the validation and training speakers is *not* accounted: ε is of the final training alone, and
each candidate's ledger lies beside it. Whoever releases a model that was chosen like this has spent more than its ε;
Papernot & Steinke (2022) say how much.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from common.features.cache import FeatureCache
from common.seeds import numpy_generator
from common.splits.plan import Plan
from common.splits.sites import MIN_SPEAKERS_FOR_VALIDATION
from simulations.sweep.trials.parts import Part, Training, run
from simulations.sweep.trials.trial import Trial

RATE, CLIP = 8.0, 10.0


def factors(count: int) -> list[tuple[float, float]]:
    """Of the learning rate and of the clipping bound, for each candidate."""
    drawn = numpy_generator("tuning").uniform(-1.0, 1.0, size=(max(count - 1, 0), 2))
    return [(1.0, 1.0), *((float(RATE**rate), float(CLIP**clip)) for rate, clip in drawn)]


def candidates(trial: Trial, count: int) -> list[dict[str, Any]]:
    """The settings that are tried, each by flat name."""
    training, privacy = trial.config.training, trial.config.privacy
    name, bound = "training.clip_norm", training.clip_norm
    if privacy.on:
        name, bound = "privacy.max_grad_norm", privacy.max_grad_norm
    return [
        {"training.learning_rate": training.learning_rate * rate, name: bound * clip} for rate, clip in factors(count)
    ]


def unvalidated(trials: Sequence[Trial]) -> str | None:
    """A warning where only some sites set speakers aside, whose settings are chosen on the others' speakers alone."""
    most = max(trials, key=lambda trial: len(_small(trial.plan)))
    small = _small(most.plan)
    if not small:
        return None
    return (
        f"--tune: fold {most.plan.fold} with --sites {most.sites} has validation speakers at some sites only, not at "
        f"{', '.join(small[:4])}{' and more' if len(small) > 4 else ''} (fewer than {MIN_SPEAKERS_FOR_VALIDATION} "
        "speakers there); settings are chosen on the other sites' speakers alone, in other folds perhaps too"
    )


def _small(plan: Plan) -> list[str]:
    return [site.name for site in plan.sites if not site.validation]


def without_test(plan: Plan) -> Plan:
    """The plan of a candidate: the validation speakers are those that are scored, and nobody else is held out."""
    sites = tuple(dataclasses.replace(site, validation=(), test=()) for site in plan.sites)
    return dataclasses.replace(plan, test=tuple(plan.validation_speakers), sites=sites)


def without_validation(plan: Plan) -> Plan:
    """The plan of a trial whose settings are chosen: those who chose them take no part."""
    return dataclasses.replace(plan, sites=tuple(dataclasses.replace(site, validation=()) for site in plan.sites))


def trainings(out: Path, trial: Trial, count: int) -> list[Training]:
    """A trial's candidates."""
    folder = out / "tuning" / trial.place
    return [
        Training(
            config=trial.config.with_values(settings),
            plan=without_test(trial.plan),
            folder=folder / str(number),
            ledger=folder / str(number) / "ledger",
        )
        for number, settings in enumerate(candidates(trial, count))
    ]


def parts_of(out: Path, trial: Trial, count: int, cache: FeatureCache) -> list[Part]:
    """What must be done before a trial's settings can be chosen."""
    return [
        Part(name=f"candidate {number} {trial.name}", work=partial(run, own, cache), trials=frozenset((trial.name,)))
        for number, own in enumerate(trainings(out, trial, count))
    ]


def choose_settings(out: Path, trial: Trial, count: int) -> Trial:
    """Choose the settings that were best on a trial's validation speakers, who then take no part.

    Args:
        out: the benchmark's folder.
        trial: its candidates are trained.
        count: of candidates.
    """
    scores = [training.result().scored.uar for training in trainings(out, trial, count)]
    tried = [{**own, "uar": score} for own, score in zip(candidates(trial, count), scores, strict=True)]
    best = max(tried, key=lambda own: own["uar"])  # of equals the first: the recipe as it is
    chosen = {name: value for name, value in best.items() if name != "uar"}
    return dataclasses.replace(
        trial, config=trial.config.with_values(chosen), plan=without_validation(trial.plan), tried=tried
    )
