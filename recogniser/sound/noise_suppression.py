"""Noise taken off a recording by noisereduce's stationary gate, some of it at a time: off unless somebody asks for it.

A model that learnt from speech as it was recorded knows it no more: on EMO-DB's clean recordings one that did not train
with it fell from an unweighted recall of 0.888 to 0.444. Each block is what noisereduce gives of the whole recording.
It reads behind each sample, and takes the noise from the first seconds: so it is for files alone.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import AudioError, FedserError
from recogniser.sound.file_blocks import Block, FileBlocks

RATES = (5_120, 256_000)  # Hz at which 50 ms and 500 Hz, which the mask is smoothed over, are a step of the spectra
_AT_ONCE = (
    600_000  # samples that are cleaned together, and from the first of which the noise is learnt; noisereduce's own
)
_BESIDE = 30_000  # and those before and behind that are looked at too
_SPECTRUM = 1024  # samples under each

Sound = npt.NDArray[np.float32]  # (channels, samples)
Reduce = Callable[..., Sound]


def noise_reduction() -> Reduce:
    """What noisereduce is called by; without the torch that it would import where there is one, and never uses here.

    Raises:
        FedserError: the extra is not installed.
    """
    hidden: dict[str, Any] = {} if "torch" in sys.modules else {"torch": None}
    try:
        importlib.import_module("scipy.signal")  # which looks whether there is a torch as it is imported
        sys.modules.update(hidden)
        from noisereduce import reduce_noise
    except ImportError:
        raise FedserError("--denoise needs noisereduce: pip install 'fedser[denoise]'; or leave it out") from None
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
    found: Reduce = reduce_noise
    return found


def without_noise(blocks: FileBlocks) -> Iterator[Block]:
    """A recording's blocks, cut elsewhere, less what is taken for noise; a rate that can't be is among its problems.

    Raises:
        FedserError: the extra is not installed.
    """
    reduce = noise_reduction()
    noise: Sound | None = None
    for window in _windows(_readable(blocks)):
        whole = window[:, _BESIDE:-_BESIDE]
        noise = whole.mean(axis=0) if noise is None else noise
        if len(noise) >= _SPECTRUM:  # or there is nothing to learn the noise from
            quiet = reduce(window, blocks.rate, stationary=True, y_noise=noise, padding=0, chunk_size=None)
            whole = quiet[:, _BESIDE:-_BESIDE]
        yield np.ascontiguousarray(whole.T)


def cleaned(sound: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float32]:
    """A sound that is there as a whole, ``(samples,)``, less what is taken for noise.

    Raises:
        FedserError: the extra is not installed.
    """
    return noise_reduction()(sound, rate, stationary=True) if len(sound) >= _SPECTRUM else sound


def _readable(blocks: FileBlocks) -> Iterator[Block]:
    for block in blocks:
        if not RATES[0] <= blocks.rate <= RATES[1]:
            said = f"{blocks.rate} Hz, and --denoise takes {RATES[0]} to {RATES[1]}: leave it out, or resample"
            blocks.problems.append(AudioError("sampling-rate", said))
            return
        yield block


def _windows(blocks: Iterable[Block]) -> Iterator[Sound]:
    """Each ``_AT_ONCE`` samples, the last ones fewer, between those beside them; 0 beyond the recording's ends."""
    sound: Sound | None = None
    size = _AT_ONCE + 2 * _BESIDE
    for block in blocks:
        sound = np.zeros((block.shape[1], _BESIDE), np.float32) if sound is None else sound
        sound = np.concatenate([sound, block.T], axis=1)
        while sound.shape[1] >= size:
            yield sound[:, :size]
            sound = sound[:, _AT_ONCE:]
    if sound is None:
        return
    sound = np.pad(sound, ((0, 0), (0, _BESIDE)))
    while sound.shape[1] > 2 * _BESIDE:
        yield sound[:, :size]
        sound = sound[:, _AT_ONCE:]
