"""A trained model as a Python program uses it: from a recording, or a signal in memory, to class probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from common.audio.decoding import Signal
from common.errors import UsageError
from common.learning import saved_model
from common.learning.prediction import predict, predict_signal
from common.learning.saved_model import SavedModel

CHANNELS = 32  # more than so many are samples: the array lies on its side


@dataclass(frozen=True)
class Recogniser:
    """A model that tells emotions apart.

    Attributes:
        saved: the weights, with their scaling, settings and label set.
    """

    saved: SavedModel

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions, in the order of the probabilities."""
        return self.saved.classes

    @property
    def synthetic(self) -> bool:
        """Whether it learnt from made-up speech, and so knows nothing of people."""
        return self.saved.synthetic

    def predict(
        self, recording: str | PathLike[str] | npt.NDArray[Any], sampling_rate: int | None = None
    ) -> dict[str, float]:
        """The probability of each class, as ``fedser predict`` gives it.

        Args:
            recording: a file in any format that soundfile reads, or a ``.npy`` matrix of features; or the signal
                itself, ``(samples,)`` or ``(samples, channels)``, floats from -1 to 1 or integers of 16 or 32 bits.
            sampling_rate: of a signal, in Hz; a file has its own.

        What should be known of the recording, as that it is long, is a ``UserWarning``.

        Raises:
            UsageError: a signal without its rate, a file with one, or an array that is no signal.
            AudioError: the recording cannot be used.
        """
        with _one_thread():
            if not isinstance(recording, np.ndarray):
                if sampling_rate is not None:
                    raise UsageError("sampling_rate is given beside a file, which says its own; leave it out")
                return predict(self.saved, Path(recording).expanduser(), _warn)
            if sampling_rate is None or sampling_rate <= 0:
                raise UsageError(f"sampling_rate is {sampling_rate}, expected that of the signal in Hz, e.g. 16000")
            return predict_signal(self.saved, _mono(recording), sampling_rate, _warn)

    def __repr__(self) -> str:
        of = "made-up speech" if self.synthetic else self.saved.config.data.corpus
        return f"<Recogniser: {', '.join(self.classes)}; learnt from {of}>"


def load_model(path: str | PathLike[str]) -> Recogniser:
    """Read a trained model.

    Args:
        path: the folder of a finished run, or its ``model.safetensors``.

    Raises:
        UsageError: there is none.
    """
    return Recogniser(saved_model.load(Path(path).expanduser()))


def _mono(signal: npt.NDArray[Any]) -> Signal:
    """A signal as one channel of floats."""
    if signal.ndim not in (1, 2) or (signal.ndim == 2 and signal.shape[1] > CHANNELS):
        raise UsageError(f"the array has the shape {signal.shape}, expected (samples,) or (samples, channels)")
    if signal.dtype in (np.int16, np.int32):
        floats = signal.astype(np.float32) / np.float32(2 ** (8 * signal.dtype.itemsize - 1))
    elif np.issubdtype(signal.dtype, np.floating):
        floats = signal.astype(np.float32)
    else:
        raise UsageError(f"the array has the type {signal.dtype}, expected floats, or whole numbers of 16 or 32 bits")
    return np.ascontiguousarray(floats if floats.ndim == 1 else floats.mean(axis=1))


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=4)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As the command computes, so that both give the same figures; what was set is set again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
