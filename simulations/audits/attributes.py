"""``fedser audit attributes``: a speaker's gender from one update of a site that holds this speaker alone.

See ``simulations.audits.attacks.attribute_inference`` for the threat model. Every training and held-out speaker is a
site, and sends updates from one and the same global model. Half of the speakers, of either gender, are the attacker's
own shadow sites, the other half the targets; then they change places, so that each speaker is a target once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from common.config.units import SPEAKER
from common.errors import UsageError
from common.privacy.recipe import refuse_leaks
from common.progress import Display
from common.utterance import Utterance
from common.validate import in_range
from simulations.audits.attacks.attribute_inference import AttributeInference, classify, first_layer, success
from simulations.audits.audited_run import AuditedRun, refuse_site_unit
from simulations.audits.halves import halves
from simulations.audits.outcome import AttackFigure, Outcome, leaks
from simulations.audits.single_site_updates import Update, updates_of


def audit(run: AuditedRun, *, updates: int, trained: bool, workers: int, display: Display) -> Outcome:
    """Make the sites' updates, and attack them.

    Args:
        run: that is attacked.
        updates: of each speaker.
        trained: from the fold's final model; otherwise from the one before round 1.
        workers: processes.
        display: of progress.

    Raises:
        UsageError: the corpus doesn't know two genders, or too few speakers of one.
        FederationError: a site failed.
    """
    refuse_site_unit(run, "attributes")
    refuse_leaks(run.config)
    in_range("--updates", updates, 1, run.config.federation.rounds)
    gender = genders(run.utterances())
    final = run.final_model().model if trained else None
    recordings = run.recordings(workers, display)
    model = final or run.initial_model(recordings[0].versions[0].shape[1])
    step = display.step("updates", updates * len(gender))
    found = updates_of(
        run,
        sorted(gender),
        model.state_dict(),
        run.scaling(recordings),
        count=updates,
        workers=workers,
        on_reply=step.update,
    )
    result = attack(found, gender, run.config.seed)
    unknown = len({u.speaker for u in run.utterances()}) - len(gender)
    figure = AttackFigure(name="gender: UAR", value=result.uar, ci95=result.uar_ci95, nothing=f"{result.chance:.3f}")
    details = {"attribute": "gender", "model": "final" if trained else "initial", "speakers_without_gender": unknown}
    return Outcome(
        attack="attributes",
        run=run,
        details={**details, "inference": dataclasses.asdict(result)},
        figures=[figure],
        meaning=_meaning(run, result, unknown),
    )


def genders(utterances: Sequence[Utterance]) -> dict[str, str]:
    """Each speaker's gender, where it is known.

    Raises:
        UsageError: fewer than two speakers of either gender are known: one to learn from, and one to tell.
    """
    known = {u.speaker: u.gender for u in utterances if u.gender}
    counts = {gender: list(known.values()).count(gender) for gender in ("female", "male")}
    if min(counts.values()) < 2:
        raise UsageError(
            f"gender can't be attacked: of this fold's speakers {counts['female']} are known to be female and "
            f"{counts['male']} male, expected two or more of each; a manifest tells it in its column gender"
        )
    return known


def attack(updates: Sequence[Update], gender: Mapping[str, str], seed: int) -> AttributeInference:
    """Tell each speaker's gender with a classifier that learnt from the other half's updates.

    Args:
        updates: of all speakers.
        gender: of each.
        seed: of the halves.
    """
    groups = [[speaker for speaker, own in gender.items() if own == name] for name in sorted(set(gender.values()))]
    first, second = halves(groups, seed, "audit", "attributes")
    rows = first_layer([update.change for update in updates], prefix="")
    truth, told, speakers = [], [], []
    for shadow, target in ((first, second), (second, first)):
        known = [i for i, update in enumerate(updates) if update.speaker in shadow]
        asked = [i for i, update in enumerate(updates) if update.speaker in target]
        told += classify(rows[known], [gender[updates[i].speaker] for i in known], rows[asked])
        truth += [gender[updates[i].speaker] for i in asked]
        speakers += [updates[i].speaker for i in asked]
    return success(truth, told, speakers)


def _meaning(run: AuditedRun, result: AttributeInference, unknown: int) -> list[str]:
    lines = [f"UAR: the share of speakers told right, of either gender alike; guessing gets {result.chance:.2f}."]
    if leaks(result.uar_ci95, result.chance):
        lines.append("An update of one speaker tells the gender better than a guess: it leaks.")
    else:
        lines.append(f"With {result.speakers} speakers it is no better than a guess; another attack may still be.")
    if unknown:
        lines.append(f"{unknown} speakers whose gender is not known were left out.")
    if run.privacy and not run.config.privacy.protects.covers(SPEAKER.name):
        lines.append(
            "The run protects recordings; a trait that all of a speaker's recordings share it does not promise to hide."
        )
    return lines
