"""Whether ONNX Runtime gives what fedser gives, at several batches and lengths: what does not is never handed out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from common.errors import FedserError
from recogniser.export.front_constants import takes_sound
from recogniser.export.graphs import FEATURES, FRONT, MODEL, WINDOW, Graphs
from recogniser.export.trial_sounds import SOUNDS, Floats, Sizes, trial_rows, trial_sounds

if TYPE_CHECKING:
    import onnxruntime

    from common.data.normalise import Scaling
    from common.learning.saved_model import SavedModel

FEATURES_BOUND, SOUND_BOUND, EIGHT_BITS_BOUND = 1e-5, 1e-3, 0.2  # of a probability
Feed = Mapping[str, npt.NDArray[Any]]
Session: TypeAlias = "onnxruntime.InferenceSession"
Sessions: TypeAlias = Mapping[str, Session]


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

    def as_json(self) -> dict[str, Any]:
        """As ``model.json`` has it."""
        return {
            "file": self.file,
            "batch": self.batch,
            self.unit: self.size,
            "difference": float(f"{self.difference:.3g}"),
        }


def refuse_other_answers(
    graphs: Graphs, saved: SavedModel, given: str, *, eight_bits: bool = False, sounds: Sizes = SOUNDS
) -> list[Trial]:
    """Run the graphs, and refuse those that give other probabilities than the model.

    Args:
        graphs: of the model, by the file's name.
        saved: the model.
        given: what ``model.onnx`` takes.
        eight_bits: whether their weights were rounded to as many, so that answers are near and no more.
        sounds: to try, by batch and seconds.

    Returns:
        What came of each batch.

    Raises:
        FedserError: a graph is none, or gives others.
    """
    sessions = {name: _checked(name, graph) for name, graph in graphs.items()}
    trials = []
    for trial in _trials(sessions, saved, given, sounds):
        exact = FEATURES_BOUND if trial.unit == "rows" else SOUND_BOUND
        bound = EIGHT_BITS_BOUND if eight_bits else exact
        if not trial.difference <= bound:  # NaN is no answer either
            raise FedserError(
                f"{trial.file} is not the model: its probabilities are up to {trial.difference:.2g} off for a batch of "
                f"{trial.batch} with {trial.size:g} {trial.unit}, at most {bound:g} is right; nothing is written"
            )
        trials.append(trial)
    return trials


def session(graph: onnx.ModelProto) -> Session:
    """A session on one core, which says nothing."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _checked(name: str, graph: onnx.ModelProto) -> Session:
    try:
        onnx.checker.check_model(graph, full_check=True)
        return session(graph)
    except Exception as error:  # ONNX Runtime's have no base of their own
        raise FedserError(
            f"{name} is no graph that ONNX Runtime takes: {_first_line(error)}; nothing is written"
        ) from None


def _trials(sessions: Sessions, saved: SavedModel, given: str, sounds: Sizes) -> Iterator[Trial]:
    if given == FEATURES:
        yield from _of_rows(sessions[MODEL], saved)
    if not takes_sound(saved):
        return
    rate = saved.config.features.sampling_rate
    for batch in trial_sounds(rate, sounds):
        for name, difference in _of_sounds(sessions, saved, batch, given):
            yield Trial(file=name, batch=len(batch), size=batch.shape[1] / rate, unit="seconds", difference=difference)


def _of_sounds(sessions: Sessions, saved: SavedModel, sounds: Floats, given: str) -> Iterator[tuple[str, float]]:
    """How far off windows of several lengths are, and the graph that takes sound."""
    cut = [sound[: len(sound) - number * len(sound) // 7] for number, sound in enumerate(sounds)]
    ragged = [_Answer.of(saved, sound) for sound in cut]
    yield WINDOW, _largest(_by_window(sessions, ragged), ragged)
    if given != FEATURES:
        whole = [*ragged[:1], *(_Answer.of(saved, sound) for sound in sounds[1:])]
        yield MODEL, _largest(_run(sessions[MODEL], {"sound": sounds}), whole)


def _of_rows(own: Session, saved: SavedModel) -> Iterator[Trial]:
    mean, deviation = saved.scaling.mean.numpy(), saved.scaling.deviation.numpy()
    for rows, lengths in trial_rows(mean, deviation):
        scales = {"mean": mean, "deviation": deviation}
        feed = {name: np.repeat(scale[None], len(rows), axis=0) for name, scale in scales.items()}
        got = _run(own, {"features": rows, "lengths": lengths, **feed})
        difference = float(np.abs(got - _answered(saved, rows, lengths)).max())
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


def _answered(saved: SavedModel, rows: Floats, lengths: npt.NDArray[np.int64]) -> Floats:
    import torch

    with torch.no_grad():
        scaled = saved.scaling.project(saved.scaling(torch.from_numpy(rows)))
        logits = saved.model(scaled, torch.from_numpy(lengths)) / saved.temperature
        answer: Floats = torch.softmax(logits, 1).numpy()
    return answer


def _by_window(sessions: Sessions, answers: list[_Answer]) -> Floats:
    """By way of frames, as what listens does: each sound's, then all in one batch of windows."""
    frames = [_run(sessions[FRONT], {"sound": own.sound[None]})[0] for own in answers]
    lengths = np.array([len(own) for own in frames])
    batch = np.stack([np.pad(own, ((0, lengths.max() - len(own)), (0, 0))) for own in frames])
    scales = {name: np.stack([getattr(own.scaling, name).numpy() for own in answers]) for name in ("mean", "deviation")}
    return _run(sessions[WINDOW], {"frames": batch, "lengths": lengths, **scales})


def _run(own: Session, feed: Feed) -> Floats:
    try:
        found: Floats = own.run(None, dict(feed))[0]
    except Exception as error:  # likewise
        raise FedserError(f"a graph does not run in ONNX Runtime: {_first_line(error)}; nothing is written") from None
    return found


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _largest(found: Floats, wanted: list[_Answer]) -> float:
    return float(np.abs(found - np.stack([own.probabilities for own in wanted])).max())
