"""From a recording to class probabilities, with a saved model."""

from __future__ import annotations

from pathlib import Path

import torch

from common.audio import reading
from common.audio.matrix import read_matrix
from common.data.extraction import Recording
from common.data.normalise import normalise
from common.errors import AudioError
from common.features.extractor import extract
from common.learning.saved_model import SavedModel
from common.utterance import Utterance


def predict(saved: SavedModel, path: Path) -> dict[str, float]:
    """The probability of each class for one recording, or one ``.npy`` feature matrix.

    A lone recording has no others of its speaker beside it: a model trained with ``normalise=speaker`` falls back to
    the training sites' scaling, so that its figures are those of ``normalise=global`` at best; to its own, where the
    training was private and no such scaling is known.

    Raises:
        AudioError: the recording cannot be used, or has other features than the model.
    """
    _refuse_unopenable(path)
    if path.suffix.lower() == ".npy":
        return _probabilities(saved, torch.from_numpy(read_matrix(path)))
    return predict_signal(saved, *reading.read(path))


def predict_signal(saved: SavedModel, signal: reading.Signal, rate: int) -> dict[str, float]:
    """As ``predict``, for a signal in memory.

    Args:
        saved: the model.
        signal: float32 of shape ``(samples,)``.
        rate: its sampling rate in Hz.

    Raises:
        AudioError: it cannot be used.
    """
    sound = reading.prepared(signal, rate, saved.config.features.sampling_rate)
    return _probabilities(saved, extract(sound, saved.config.features))


@torch.no_grad()
def _probabilities(saved: SavedModel, features: torch.Tensor) -> dict[str, float]:
    """The classes' probabilities for features ``(frames, features)``."""
    alone = Utterance(path=Path(), emotion="", speaker="", corpus="")
    width = len(saved.scaling.mean)
    if features.shape[1] != width:
        raise AudioError("mixed", f"{features.shape[1]} features a frame, the model was trained on {width}")
    normalise_by = saved.config.data.normalise
    by_itself = normalise_by == "utterance" or (saved.config.privacy.on and normalise_by != "public")
    mode = "utterance" if by_itself else "global"
    [recording] = normalise([Recording(utterance=alone, versions=(features,))], mode, saved.scaling)
    scaled = recording.versions[0]
    logits = saved.model(scaled[None], torch.tensor([len(scaled)]))[0]
    return dict(zip(saved.classes, torch.softmax(logits, 0).tolist(), strict=True))


def _refuse_unopenable(path: Path) -> None:
    """Say why a file cannot be opened, for libsndfile says no more than ``System error``."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise AudioError("unreadable", (error.strerror or "cannot be opened").lower()) from None
