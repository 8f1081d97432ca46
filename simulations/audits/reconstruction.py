"""``fedser audit reconstruction``: the features of one utterance from one update.

See ``simulations.audits.attacks.gradient_inversion`` for the threat model: one step of plain SGD on one short
utterance, without dropout and masks. In a private run the gradient goes through the mechanism as the only unit of its
step: it is clipped, and the site's noise is added. That is the worst case there too; the other units of a real step
only add to the noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from torch import Tensor

from common.data.extraction import Recording
from common.data.resident import of_speakers
from common.errors import UsageError
from common.privacy.recipe import refuse_leaks
from common.privacy.terms import Terms
from common.progress import Display
from common.seeds import numpy_generator, seed_of
from common.validate import in_range
from simulations.audits.attacks.gradient_inversion import Reconstruction, random_guesses, success
from simulations.audits.attacks.intervals import clopper_pearson
from simulations.audits.audited_run import AuditedRun, refuse_site_unit
from simulations.audits.inversion import Victim, invert_all
from simulations.audits.outcome import AttackFigure, Outcome
from simulations.engine.promises import units_at_sites

_GUESSES = 200


def audit(
    run: AuditedRun, *, utterances: int, frames: int, steps: int, trained: bool, workers: int, display: Display
) -> Outcome:
    """Make an update of each of some utterances, and invert it.

    Args:
        run: that is attacked.
        utterances: how many, drawn from the training speakers'.
        frames: of each, from its middle.
        steps: of the search.
        trained: on the fold's final model; otherwise on the one before round 1.
        workers: processes.
        display: of progress.

    Raises:
        UsageError: as ``refuse_leaks``; or an option is out of range, the fold is not finished, or no two utterances
            are so long.
    """
    refuse_site_unit(run, "reconstruction")
    refuse_leaks(run.config)
    for name, value, most in (("utterances", utterances, 200), ("frames", frames, 10_000), ("steps", steps, 10**6)):
        in_range(f"--{name}", value, 1, most)
    final = run.final_model().model if trained else None
    own = of_speakers(run.normalised(run.recordings(workers, display)), run.plan.train_speakers)
    terms = _terms(run) if run.privacy else {}
    model = (final or run.initial_model(own[0].versions[0].shape[1])).eval()
    long = _long_enough(own, frames)
    drawn = numpy_generator(run.config.seed, "audit", "utterances").permutation(len(long))[:utterances].tolist()
    victims = [_victim(run, long[place], frames, steps, terms, place) for place in drawn]
    step = display.step("utterances", len(victims))
    found = invert_all(model, victims, workers=workers, on_done=step.update)
    truths, features = [victim.truth for victim in victims], [one.features for one in found]
    noise = [random_guesses(victim.truth, _GUESSES, victim.seed) for victim in victims]
    others = [_others(long, place, frames) for place in drawn]
    told = [one.label == victim.label for one, victim in zip(found, victims, strict=True)]
    return _outcome(run, trained, frames, told, success(truths, features, noise), success(truths, features, others))


def middle(recording: Recording, frames: int) -> Tensor:
    """So many frames of a recording, ``(frames, features)``; at its ends there may be silence."""
    whole = recording.versions[0]
    first = (len(whole) - frames) // 2
    return whole[first : first + frames]


def _victim(
    run: AuditedRun, recording: Recording, frames: int, steps: int, terms: Mapping[str, Terms], place: int
) -> Victim:
    site = next(site.name for site in run.plan.sites if recording.utterance.speaker in site.train)
    return Victim(
        truth=middle(recording, frames),
        label=run.plan.classes.index(recording.utterance.emotion),
        training=run.config.training,
        terms=terms.get(site),
        steps=steps,
        seed=seed_of(run.config.seed, "audit", "reconstruction", place),
    )


def _terms(run: AuditedRun) -> dict[str, Terms]:
    """What each site's steps are; of a run without a budget spent before."""
    held = units_at_sites(run.config, run.plan, run.utterances())
    return {site: Terms.of(run.config, units, []) for site, units in held.items()}


def _long_enough(recordings: Sequence[Recording], frames: int) -> list[Recording]:
    long = [recording for recording in recordings if len(recording.versions[0]) >= frames]
    if len(long) < 2:
        most = max(len(recording.versions[0]) for recording in recordings)
        raise UsageError(f"--frames is {frames}, expected so few that two utterances have them; the longest has {most}")
    return long


def _others(recordings: Sequence[Recording], place: int, frames: int) -> list[Tensor]:
    """As guesses of one utterance, others of the same corpus, drawn with replacement."""
    rng = numpy_generator("others", place)
    left = [i for i in range(len(recordings)) if i != place]
    return [middle(recordings[left[i]], frames) for i in rng.integers(len(left), size=_GUESSES)]


def _outcome(
    run: AuditedRun, trained: bool, frames: int, told: Sequence[bool], noise: Reconstruction, others: Reconstruction
) -> Outcome:
    right, total, chance = sum(told), len(told), 1 / len(run.plan.classes)
    share = AttackFigure(
        name="emotion told", value=right / total, ci95=clopper_pearson(right, total), nothing=f"{chance:.3f}"
    )
    figures = [_figure("random features", noise), _figure("other utterances", others), share]
    return Outcome(
        attack="reconstruction",
        run=run,
        details={
            "model": "final" if trained else "initial",
            "frames": frames,
            "random_features": dataclasses.asdict(noise),
            "other_utterances": dataclasses.asdict(others),
            "emotion": {"told": share.value, "told_ci95": share.ci95, "chance": chance},
        },
        figures=figures,
        meaning=_meaning(noise, others),
    )


def _figure(beside: str, found: Reconstruction) -> AttackFigure:
    low, high = found.random_ci95
    return AttackFigure(
        name=f"correlation, beside {beside}",
        value=found.correlation,
        ci95=found.correlation_ci95,
        nothing=f"{low:.3f} to {high:.3f}",
    )


def _meaning(noise: Reconstruction, others: Reconstruction) -> list[str]:
    lines = [
        "Correlation with the true features: 1 is all of them. Beside it is what guesses reach, in 95 of 100 cases."
    ]
    if noise.correlation > max(noise.random_ci95[1], others.random_ci95[1]):
        lines.append("The reconstructions are nearer to the truth than guesses are: the update tells of the utterance.")
    else:
        lines.append("The reconstructions are no nearer to the truth than guesses are; a better attack may get nearer.")
    return lines
