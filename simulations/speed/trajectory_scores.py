"""What the models of a finished run make of long recordings: their held-out speakers' utterances joined with gaps."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from common.data.resident import listed_of
from common.errors import UsageError
from common.progress import Display
from common.utterance import Utterance
from recogniser.listening.exported_model import ExportedModel, Window
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.listening.recording_result import Segment
from recogniser.listening.run_export import open_model
from recogniser.listening.speaker_adaptation import ADAPT
from simulations.audits.audited_run import AuditedRun, open_folds
from simulations.speed.diarization_error import DiarizationError, Span, diarization_error
from simulations.speed.joined_speech import JoinedSpeech, join

WINDOWS = "windows"  # fixed ones, beside which segments are told
_WINDOW, _HOP = 2.0, 0.5  # seconds
_BOTH = 2

Errors = dict[str, DiarizationError]


def run(path: Path, seed: int, display: Display) -> dict[str, Any]:
    """Listen to each fold's held-out speakers as ``fedser recognise`` does, each of them in one long recording.

    Args:
        path: the folder of a finished run of ``fedser simulate``.
        seed: of the utterances' order and of the gaps.
        display: of the progress.

    Returns:
        JSON-ready: ``summary``, over all speakers the emotion diarization error and its parts for each way of adapting
        and for fixed windows, and ``folds``, each with its own.

    Raises:
        UsageError: a fold is not finished, its recordings are no sounds, or its model takes none.
        FedserError: the gate can't be had.
    """
    own = open_folds(path)
    if not own:
        raise UsageError(f"--run {path}: none of its folds was started; go on with fedser simulate --resume {path}")
    step, found = display.step("speakers", sum(len(fold.plan.test_speakers) for fold in own)), dict[str, Errors]()
    done = 0
    for fold in own:
        model = _model(fold)
        for speaker in fold.plan.test_speakers:
            errors = _of_speaker(model, listed_of(fold.config, fold.plan, [speaker]), seed)
            found[fold.plan.fold] = _both(found[fold.plan.fold], errors) if fold.plan.fold in found else errors
            done += 1
            step.update(done, fold.plan.fold)
    return {
        "run": str(path),
        "seed": seed,
        "summary": _shown(reduce(_both, found.values())),
        "folds": [{"fold": fold, "error": _shown(errors)} for fold, errors in found.items()],
    }


def _model(run: AuditedRun) -> ExportedModel:
    run.final_model()  # or it is not finished
    if any(own.is_matrix for own in run.utterances()):
        raise UsageError(f"--run {run.path}: its recordings are matrices of features, expected sounds to join")
    return open_model(run.folder)


def _of_speaker(model: ExportedModel, utterances: Sequence[Utterance], seed: int) -> Errors:
    joined = join(utterances, model.sampling_rate, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "joined.wav"
        soundfile.write(path, joined.sound, model.sampling_rate, subtype="FLOAT")
        found = {adapt: _segments(model, path, adapt) for adapt in ADAPT}
    said = {adapt: [_span(own) for own in segments] for adapt, segments in found.items()}
    said[WINDOWS] = _by_windows(model, joined, found["none"])
    return {name: diarization_error(joined.spans, spans) for name, spans in said.items()}


def _segments(model: ExportedModel, path: Path, adapt: str) -> list[Segment]:
    return recognise(model, path, RecogniseSettings(listen=ListenSettings(adapt=adapt))).segments


def _span(segment: Segment) -> Span:
    return Span(start=segment.start, end=segment.end, emotion=segment.emotion)


def _by_windows(model: ExportedModel, joined: JoinedSpeech, segments: Sequence[Segment]) -> list[Span]:
    """The same speech, named by the window around each hop of it, whatever else lies in that window."""
    frames, per_second = model.frames(joined.sound), 1000 / model.hop_ms
    hops = [
        (max(own.start, at), min(own.end, at + _HOP))
        for own in segments
        for at in np.arange(own.start // _HOP * _HOP, own.end, _HOP).tolist()
    ]
    hops = [(start, end) for start, end in hops if start < end]
    windows = []
    for start, end in hops:
        first = max(0, round(((start + end - _WINDOW) / _BOTH) * per_second))
        windows.append(Window(frames=frames[first : first + round(_WINDOW * per_second)], scaling=model.prior))
    likeliest = model.score(windows).argmax(axis=1) if windows else []
    return [
        Span(start=start, end=end, emotion=model.said.classes[place])
        for (start, end), place in zip(hops, likeliest, strict=True)
    ]


def _both(first: Errors, second: Errors) -> Errors:
    return {name: add(first[name], second[name]) for name in first}


def _shown(errors: Errors) -> dict[str, dict[str, float]]:
    return {name: own.as_json() for name, own in errors.items()}
