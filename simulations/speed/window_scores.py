"""What the models of a finished run make of short windows, each by itself: somebody has said no more than that yet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.data.crops import windows_of
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.data.resident import recordings_of
from common.data.strangers import ALL, FIRST, Condition, conditions
from common.errors import UsageError
from common.learning.metrics import FIGURES, Confusion
from common.learning.saved_model import SavedModel
from common.learning.stranger_scores import score_strangers
from common.progress import Display
from common.validate import in_range
from simulations.audits.audited_run import AuditedRun, open_folds

WHOLE = "whole"  # recordings, beside which the windows are told
HEARD = (FIRST, ALL)  # of the others of a speaker, to scale a window's recording by


@dataclass(frozen=True, kw_only=True)
class WindowScore:
    """How one fold's model does on windows of one length.

    Attributes:
        windows: how many there are.
        uar: by what was heard of the speaker before; None for what the run's normalisation does not have.
    """

    windows: int
    uar: dict[str, float | None]


def run(path: Path, seconds: Sequence[float], display: Display) -> dict[str, Any]:
    """Score the windows of each fold's held-out recordings, scaled as these are, and those recordings whole.

    Args:
        path: the folder of a finished run of ``fedser simulate``.
        seconds: lengths of windows.
        display: of the progress.

    Returns:
        JSON-ready: ``summary``, by length and by what was heard the mean over folds of the unweighted average recall,
        and ``folds``.

    Raises:
        UsageError: a fold is not finished, its recordings are no sounds, or a length is none.
    """
    lengths = {f"{own:g}": own for own in map(_checked, seconds)} | {WHOLE: math.inf}
    own = open_folds(path)
    if not own:
        raise UsageError(f"--run {path}: none of its folds was started; go on with fedser simulate --resume {path}")
    step, scores = display.step("windows", len(own)), dict[str, dict[str, WindowScore]]()
    for number, fold in enumerate(own, 1):
        scores[fold.plan.fold] = _of_fold(fold, lengths)
        step.update(number, fold.plan.fold)
    return {
        "run": str(path),
        "summary": {length: _means([each[length] for each in scores.values()]) for length in lengths},
        "folds": [
            {"fold": fold, "windows": {length: {"count": own.windows, "uar": own.uar} for length, own in each.items()}}
            for fold, each in scores.items()
        ],
    }


def _checked(seconds: float) -> float:
    in_range("--seconds", seconds, 0.01, 3600.0)
    return seconds


def _of_fold(run: AuditedRun, lengths: dict[str, float]) -> dict[str, WindowScore]:
    saved = run.final_model()
    recordings = recordings_of(run.config, run.plan, run.plan.test_speakers, run.cache)
    return {length: _score(saved, recordings, seconds) for length, seconds in lengths.items()}


def _score(saved: SavedModel, recordings: Sequence[Recording], seconds: float) -> WindowScore:
    def cut(ready: list[Recording]) -> SpeechDataset:
        return SpeechDataset(windows_of(ready, seconds, saved.config.features), saved.classes)

    scored = score_strangers(saved.model, _told(saved, recordings), cut)
    counts = {**scored.after, ALL: scored.known.confusion}
    uar = {name: _uar(list(counts[name].values())) if name in counts else None for name in HEARD}
    return WindowScore(windows=scored.known.examples, uar=uar)


def _told(saved: SavedModel, recordings: Sequence[Recording]) -> Iterator[Condition]:
    """Those of the conditions that are told."""
    return (own for own in conditions(recordings, saved.config, saved.scaling) if not set(HEARD).isdisjoint(own[0]))


def _uar(speakers: Sequence[Confusion]) -> float:
    return float(FIGURES["uar"](np.sum(speakers, axis=0)))


def _means(folds: Sequence[WindowScore]) -> dict[str, float | None]:
    """Over the folds; None where one of them has none."""
    values = {name: [own.uar[name] for own in folds] for name in HEARD}
    return {
        name: None if None in own else float(np.mean([v for v in own if v is not None])) for name, own in values.items()
    }
