"""What the models of a finished run make of a stranger's first recordings in noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.data.resident import recordings_of
from common.errors import UsageError
from common.learning.metrics import FIGURES
from common.progress import Display
from recogniser.sound.noise_suppression import noise_reduction
from server.records.scores import NoiseFigures
from server.rounds.noise_scores import noise_figures, score_noise
from simulations.audits.audited_run import AuditedRun, open_folds
from simulations.speed.suppressed_scores import score_suppressed

Levels = dict[str, dict[str, dict[str, float]]]  # figures by kind of noise, by level


def run(path: Path, workers: int | None, display: Display, *, suppress: bool = False) -> dict[str, Any]:
    """Score each fold's held-out recordings in noise, as ``--score-noise`` does at a run's end.

    Args:
        path: the folder of a finished run of ``fedser simulate``.
        workers: processes that compute features; None for one a core.
        display: of the progress.
        suppress: score them once more with a suppressor between the noise and the model.

    Returns:
        JSON-ready: ``summary``, by kind of noise and by level the means over folds, and ``folds``; where noise was
        suppressed, ``suppressed`` likewise.

    Raises:
        FedserError: the suppressor is not installed.
        UsageError: a fold is not finished, or its recordings are no sounds.
    """
    own = open_folds(path)
    if not own:
        raise UsageError(f"--run {path}: none of its folds was started; go on with fedser simulate --resume {path}")
    if suppress:
        noise_reduction()  # or it is said here that it is not there
    step, folds = display.step("noise", len(own)), list[dict[str, Any]]()
    for number, fold in enumerate(own, 1):
        noise, rest = _of_fold(fold, workers), {}
        if suppress:
            rest["suppressed"] = _plain(_suppressed(fold, workers))
        folds.append({"fold": fold.plan.fold, "noise": _plain(noise), **rest})
        step.update(number, fold.plan.fold)
    whole = {"suppressed": _means([each["suppressed"] for each in folds])} if suppress else {}
    return {"run": str(path), "summary": _means([each["noise"] for each in folds]), **whole, "folds": folds}


def _suppressed(run: AuditedRun, workers: int | None) -> NoiseFigures:
    recordings = recordings_of(run.config, run.plan, run.plan.test_speakers, run.cache)
    return score_suppressed(run.final_model(), recordings, run.config, run.cache, workers)


def _of_fold(run: AuditedRun, workers: int | None) -> NoiseFigures:
    saved = run.final_model()
    recordings = recordings_of(run.config, run.plan, run.plan.test_speakers, run.cache)
    if any(own.utterance.is_matrix for own in recordings):
        raise UsageError(f"--run {run.path}: its recordings are matrices of features, expected sounds to add noise to")
    found = score_noise(saved.model, recordings, saved.classes, run.config, saved.scaling, run.cache, workers=workers)
    if found is None:
        raise UsageError(f"--run {run.path}: nobody can predict a lone recording of it, so it has no score in noise")
    return noise_figures(found)


def _plain(figures: NoiseFigures) -> Levels:
    return {kind: {level: own.as_json() for level, own in levels.items()} for kind, levels in figures.items()}


def _means(folds: list[Levels]) -> Levels:
    return {
        kind: {
            level: {name: float(np.mean([own[kind][level][name] for own in folds])) for name in FIGURES}
            for level in levels
        }
        for kind, levels in folds[0].items()
    }
