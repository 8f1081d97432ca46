"""A trained model as a Python program uses it: from a recording, or a signal in memory, to class probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from common.audio.decoding import Signal
from common.errors import UsageError
from common.learning import saved_model
from common.learning.prediction import (
    Read,
    listening,
    predict,
    predict_signal,
    read_file,
    read_signal,
    with_words,
)
from common.learning.saved_model import SavedModel

Given = str | PathLike[str] | npt.NDArray[Any]  # a file, or a signal
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
        self,
        recording: Given,
        sampling_rate: int | None = None,
        *,
        profile: str | PathLike[str] | None = None,
        text: str | None = None,
    ) -> dict[str, float]:
        """The probability of each class, as ``fedser predict`` gives it.

        Args:
            recording: a file in any format that soundfile reads, or a ``.npy`` matrix of features; or the signal
                itself, ``(samples,)`` or ``(samples, channels)``, floats from -1 to 1 or integers of 16 or 32 bits.
            sampling_rate: of a signal, in Hz; a file has its own.
            profile: a file with what was heard of its speaker before; what is heard now is added to it, and where there
                is none it is made. It is personal data: delete it to forget the speaker. None for a stranger.
            text: what is said, for a model that was trained with ``text.buckets``; None where it is not known.

        What should be known of the recording, as that it is long, is a ``UserWarning``.

        Raises:
            UsageError: a signal without its rate, a file with one, or an array that is no signal; a profile of another
                model, a broken one, or a model that does not adapt to recordings in turn; a text for one that hears no
                words.
            AudioError: the recording cannot be used.
            FedserError: the profile cannot be written.
        """
        with _one_thread():
            if profile is not None:
                reads = self._readers([recording], sampling_rate, [] if text is None else [text])
                with listening(self.saved, Path(profile).expanduser(), _warn) as listener:
                    [labelled] = listener.in_turn(reads, _warn_of)
                return labelled.probabilities()
            if isinstance(recording, np.ndarray):
                return predict_signal(self.saved, _mono(recording), _rate(sampling_rate), _warn, text)
            return predict(self.saved, _file(recording, sampling_rate), _warn, text)

    def together(
        self,
        recordings: Sequence[Given],
        sampling_rate: int | None = None,
        *,
        profile: str | PathLike[str] | None = None,
        texts: Sequence[str] = (),
    ) -> list[dict[str, float]]:
        """The probability of each class for recordings of one speaker, as ``fedser predict --together`` gives them.

        A model that adapts hears all of them first. Any other gives what ``predict`` does, and a ``UserWarning``.

        Args:
            recordings: each as of ``predict``.
            sampling_rate: of the signals, in Hz.
            profile: as of ``predict``.
            texts: what is said in each, empty where it is not known; or none at all.

        Raises:
            UsageError: as of ``predict``.
            AudioError: one of them cannot be used; it says which, counted from 0, and nothing is kept.
            FedserError: the profile cannot be written.
        """
        with _one_thread():
            reads = self._readers(recordings, sampling_rate, texts)
            where = None if profile is None else Path(profile).expanduser()
            with listening(self.saved, where, _warn) as listener:
                return [labelled.probabilities("recordings") for labelled in listener.together(reads, _warn_of)]

    def _readers(self, recordings: Sequence[Given], sampling_rate: int | None, texts: Sequence[str]) -> list[Read]:
        return with_words(self.saved, [self._reader(own, sampling_rate) for own in recordings], texts)

    def _reader(self, recording: Given, sampling_rate: int | None) -> Read:
        if isinstance(recording, np.ndarray):
            return partial(read_signal, self.saved, _mono(recording), _rate(sampling_rate))
        return partial(read_file, self.saved, _file(recording, sampling_rate))

    def __repr__(self) -> str:
        of = "made-up speech" if self.synthetic else self.saved.config.data.corpus
        return f"<Recogniser: {', '.join(self.classes)}; learnt from {of}>"


def load_model(path: str | PathLike[str], *, encoder: str | PathLike[str] | None = None) -> Recogniser:
    """Read a trained model.

    Args:
        path: the folder of a finished run, or its ``model.safetensors``.
        encoder: the public encoder of a model that has one in front, a folder or an ONNX file.

    Raises:
        UsageError: there is none; or the model's encoder is another.
    """
    saved = saved_model.load(Path(path).expanduser())
    return Recogniser(saved_model.with_encoder(saved, None if encoder is None else Path(encoder)))


def _file(recording: str | PathLike[str], sampling_rate: int | None) -> Path:
    if sampling_rate is not None:
        raise UsageError("sampling_rate is given beside a file, which says its own; leave it out")
    return Path(recording).expanduser()


def _rate(sampling_rate: int | None) -> int:
    if sampling_rate is None or sampling_rate <= 0:
        raise UsageError(f"sampling_rate is {sampling_rate}, expected that of the signal in Hz, e.g. 16000")
    return sampling_rate


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


def _warn_of(_: int, line: str) -> None:
    _warn(line)


@contextmanager
def _one_thread() -> Iterator[None]:
    """As the command computes, so that both give the same figures; what was set is set again."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
