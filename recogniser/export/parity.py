"""Whether ONNX Runtime gives what fedser gives, at several batches and lengths: what does not is never handed out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from common.errors import FedserError
from recogniser.export.graphs import FEATURES, FRONT, MODEL, WINDOW, Graphs
from recogniser.export.trial_sounds import Floats, trial_rows, trial_sounds

if TYPE_CHECKING:
    import onnxruntime

    from common.data.normalise import Scaling
    from common.learning.saved_model import SavedModel

FEATURES_BOUND, SOUND_BOUND = 1e-5, 1e-3  # of a probability
Feed = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of one batch.

    Attributes:
        file: whose graph.
        batch: how many.
        size: of the longest, rows or seconds.
        unit: ``rows`` or ``seconds``.
        difference: the largest between two probabilities.
    """

    file: str
    batch: int
    size: float
    unit: str
    difference: float

    @property
    def bound(self) -> float:
        """The largest difference that is none."""
        return FEATURES_BOUND if self.unit == "rows" else SOUND_BOUND

    def as_json(self) -> dict[str, Any]:
        """As ``model.json`` has it."""
        return {
            "file": self.file,
            "batch": self.batch,
            self.unit: self.size,
            "difference": float(f"{self.difference:.3g}"),
        }


def refuse_other_answers(graphs: Graphs, saved: SavedModel, given: str) -> list[Trial]:
    """Run the graphs, and refuse those that give other probabilities than the model.

    Args:
        graphs: of the model, by the file's name.
        saved: the model.
        given: what ``model.onnx`` takes.

    Returns:
        What came of each batch.

    Raises:
        FedserError: a graph is none, or gives others.
    """
    sessions = {name: _checked(name, graph) for name, graph in graphs.items()}
    trials = []
    for trial in _trials(sessions, saved, given):
        if not trial.difference <= trial.bound:  # NaN is no answer either
            raise FedserError(
                f"{trial.file} is not the model: its probabilities are up to {trial.difference:.2g} off for a batch of "
                f"{trial.batch} with {trial.size:g} {trial.unit}, at most {trial.bound:g} is right; nothing is written"
            )
        trials.append(trial)
    return trials


def session(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session on one core, which says nothing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _checked(name: str, graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    try:
        onnx.checker.check_model(graph, full_check=True)
        return session(graph)
    except Exception as error:  # ONNX Runtime's have no base of their own
        raise FedserError(f"{name} is no graph that ONNX Runtime takes: {error}; nothing is written") from None


def _trials(sessions: Mapping[str, onnxruntime.InferenceSession], saved: SavedModel, given: str) -> Iterator[Trial]:
    if given == FEATURES:
        yield from _of_rows(sessions[MODEL], saved)
    if saved.config.features.encoder.on:
        return
    for sounds in trial_sounds(saved.config.features.sampling_rate):
        seconds = sounds.shape[1] / saved.config.features.sampling_rate
        answers = [_Answer.of(saved, sound) for sound in sounds]
        ragged = [
            _Answer.of(saved, sound[: len(sound) - number * len(sound) // 7]) for number, sound in enumerate(sounds)
        ]
        found = {WINDOW: (_by_window(sessions, ragged), ragged)}
        if given != FEATURES:
            found[MODEL] = (_run(sessions[MODEL], {"sound": sounds}), answers)
        for name, (got, wanted) in found.items():
            difference = _largest(got, np.stack([own.probabilities for own in wanted]))
            yield Trial(file=name, batch=len(sounds), size=seconds, unit="seconds", difference=difference)


def _of_rows(own: onnxruntime.InferenceSession, saved: SavedModel) -> Iterator[Trial]:
    mean, deviation = saved.scaling.mean.numpy(), saved.scaling.deviation.numpy()
    for rows, lengths in trial_rows(mean, deviation):
        scales = {"mean": mean, "deviation": deviation}
        feed = {name: np.repeat(scale[None], len(rows), axis=0) for name, scale in scales.items()}
        got = _run(own, {"features": rows, "lengths": lengths, **feed})
        difference = _largest(got, _answered(saved, saved.scaling, rows, lengths))
        yield Trial(file=MODEL, batch=len(rows), size=rows.shape[1], unit="rows", difference=difference)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What fedser itself makes of a sound.

    Attributes:
        sound: ``(samples,)``.
        probabilities: as ``fedser predict`` gives them.
        scaling: by which its rows were scaled.
    """

    sound: Floats
    probabilities: Floats
    scaling: Scaling

    @classmethod
    def of(cls, saved: SavedModel, sound: Floats) -> _Answer:
        from common.learning.prediction import predict_signal

        found = predict_signal(saved, sound, saved.config.features.sampling_rate)
        answer = np.array([found[name] for name in saved.classes], dtype=np.float32)
        return cls(sound=sound, probabilities=answer, scaling=_scaling(saved, sound))


def _scaling(saved: SavedModel, sound: Floats) -> Scaling:
    """The one of the training speakers, or the sound's own."""
    import torch

    from common.data.extraction import Recording
    from common.data.normalise import Sums
    from common.data.strangers import lone_mode
    from common.features.extractor import extract
    from common.utterance import Utterance

    if lone_mode(saved.config) != "utterance":
        return saved.scaling
    rows = extract(torch.from_numpy(sound), saved.config.features)
    nobody = Utterance(path=Path(), emotion="", speaker="", corpus="")
    return Sums.of([Recording(utterance=nobody, versions=(rows,))]).scaling()


def _answered(saved: SavedModel, scaling: Scaling, rows: Floats, lengths: npt.NDArray[np.int64]) -> Floats:
    import torch

    with torch.no_grad():
        scaled = saved.scaling.project(scaling(torch.from_numpy(rows)))
        logits = saved.model(scaled, torch.from_numpy(lengths)) / saved.temperature
        answer: Floats = torch.softmax(logits, 1).numpy()
    return answer


def _by_window(sessions: Mapping[str, onnxruntime.InferenceSession], answers: list[_Answer]) -> Floats:
    """By way of frames, as what listens does: each sound's, then all in one batch of windows."""
    frames = [_run(sessions[FRONT], {"sound": own.sound[None]})[0] for own in answers]
    lengths = np.array([len(own) for own in frames])
    batch = np.stack([np.pad(own, ((0, lengths.max() - len(own)), (0, 0))) for own in frames])
    scales = {name: np.stack([getattr(own.scaling, name).numpy() for own in answers]) for name in ("mean", "deviation")}
    return _run(sessions[WINDOW], {"frames": batch, "lengths": lengths, **scales})


def _run(own: onnxruntime.InferenceSession, feed: Feed) -> Floats:
    found: Floats = own.run(None, dict(feed))[0]
    return found


def _largest(found: Floats, wanted: Floats) -> float:
    return float(np.abs(found - wanted).max())
