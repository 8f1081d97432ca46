"""From a recording to class probabilities, with a saved model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from common.audio import reading
from common.audio.decoding import Signal, Sound, decode
from common.audio.matrix import read_matrix
from common.data.extraction import Recording
from common.data.normalise import normalise
from common.data.strangers import lone_mode
from common.errors import AudioError
from common.features.extractor import extract
from common.learning.saved_model import SavedModel
from common.utterance import Utterance

MOST_SECONDS = 300.0  # of a recording: a label of more says nothing, and takes a gigabyte an hour
_CUT = "cut it into utterances of some seconds and give each, for a label is one utterance's"


def predict(saved: SavedModel, path: Path, say: Callable[[str], None] = lambda _: None) -> dict[str, float]:
    """The probability of each class for one recording, or one ``.npy`` feature matrix.

    A lone recording has no others of its speaker beside it: a model trained with ``normalise=speaker`` falls back to
    the training sites' scaling, so that its figures are those of ``normalise=global`` at best; to its own, where the
    training was private and no such scaling is known.

    Args:
        saved: the model.
        path: of a recording longer than ``MOST_SECONDS`` these first ones are used, which bounds the memory.
        say: called with what the user should know of the recording, a line each.

    Raises:
        AudioError: the recording cannot be used, or has other features than the model.
    """
    _refuse_unopenable(path)
    if path.suffix.lower() == ".npy":
        return _probabilities(saved, torch.from_numpy(read_matrix(path)))
    sound = decode(path, most=MOST_SECONDS)
    for remark in sound.remarks:
        say(remark.detail)
    return _predict_some(saved, sound, say)


def predict_signal(
    saved: SavedModel, signal: Signal, rate: int, say: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """As ``predict``, for a signal in memory.

    Args:
        saved: the model.
        signal: float32 of shape ``(samples,)``.
        rate: its sampling rate in Hz.
        say: called with what the user should know of the recording, a line each.

    Raises:
        AudioError: it cannot be used.
    """
    most = round(MOST_SECONDS * rate)
    return _predict_some(saved, Sound(signal=signal[:most], rate=rate, more=len(signal) > most), say)


def _predict_some(saved: SavedModel, sound: Sound, say: Callable[[str], None]) -> dict[str, float]:
    seconds = len(sound.signal) / sound.rate
    if sound.more:
        say(f"over {MOST_SECONDS / 60:g} minutes long, the first {MOST_SECONDS / 60:g} give its one label; {_CUT}")
    elif seconds > reading.LONG_SECONDS:
        say(f"{seconds / 60:.1f} minutes long, and gets one label; {_CUT}")
    prepared = reading.prepared(sound.signal, sound.rate, saved.config.features.sampling_rate)
    return _probabilities(saved, extract(prepared, saved.config.features))


@torch.no_grad()
def _probabilities(saved: SavedModel, features: torch.Tensor) -> dict[str, float]:
    """The classes' probabilities for features ``(frames, features)``."""
    alone = Utterance(path=Path(), emotion="", speaker="", corpus="")
    width = len(saved.scaling.mean)
    if features.shape[1] != width:
        raise AudioError("mixed", f"{features.shape[1]} features a frame, the model was trained on {width}")
    lone = Recording(utterance=alone, versions=(features,))
    [recording] = normalise([lone], lone_mode(saved.config), saved.scaling)
    scaled = recording.versions[0]
    logits = saved.model(scaled[None], torch.tensor([len(scaled)]))[0] / saved.temperature
    return dict(zip(saved.classes, torch.softmax(logits, 0).tolist(), strict=True))


def _refuse_unopenable(path: Path) -> None:
    """Say why a file cannot be opened, for libsndfile says no more than ``System error``."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise AudioError("unreadable", (error.strerror or "cannot be opened").lower()) from None
