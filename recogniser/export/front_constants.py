"""The constants of a front end's settings as numpy arrays, and how far a frame looks; torch is imported within."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from common.config.settings import FeatureConfig
from recogniser.graph.frame_constants import (
    CrossingConstants,
    FrontConstants,
    PitchConstants,
    SpectralConstants,
    WindowConstants,
)
from recogniser.graph.node_builder import Array

if TYPE_CHECKING:
    import torch

    from common.learning.saved_model import SavedModel


def front_constants(config: FeatureConfig) -> FrontConstants:
    """The constants of some settings, which name no encoder."""
    from common.features import extractor

    single = _single(config)
    return FrontConstants(
        hop=_samples(config, config.hop),
        derivatives=_taps(config.deltas),
        windows=tuple(_of_window(config, window) for window in config.windows),
        pitch=_pitch(config) if config.pitch else None,
        columns=extractor.dimension(single),
    )


def takes_sound(saved: SavedModel) -> bool:
    """Whether fedser's own features are what a model sees: no public encoder's, and no matrix of a site's own."""
    from common.features import extractor

    features = saved.config.features
    return not features.encoder.on and len(saved.scaling.mean) == extractor.dimension(features)


def columns(config: FeatureConfig) -> list[str]:
    """The names of a frame's columns before frames are joined."""
    from common.features import extractor

    return extractor.names(_single(config))


def context(config: FeatureConfig) -> dict[str, int]:
    """How many frames at each end of a block of sound are wrong, for they look beyond it; none at a sound's ends.

    A block begins on a frame's centre. Its last frame is the one that is centred on its last sample or the next one.
    """
    constants = front_constants(config)
    spectra = [window.spectrum for window in constants.windows if window.spectrum is not None]
    reach = constants.derivatives.shape[1] // 2 if config.deltas else 0
    beside = max(reach, 1 if config.spectral else 0)  # the flux looks at the frame before
    sides = [(own.before, len(own.window) - own.before, beside) for own in spectra]
    crossed = [window.crossings for window in constants.windows if window.crossings is not None]
    sides += [(own.before, own.size - own.before, 0) for own in crossed]
    if constants.pitch is not None:
        own = constants.pitch
        size = (len(own.window) - 1) * own.step + len(own.taps)
        sides.append((own.before, size - own.before, 1))  # the median of three
    hop = constants.hop
    return {
        "left": max(math.ceil(before / hop) + more for before, _, more in sides),
        "right": max(math.ceil(after / hop) + more for _, after, more in sides),
    }


def _single(config: FeatureConfig) -> FeatureConfig:
    return replace(config, stack=1)


def _samples(config: FeatureConfig, milliseconds: int) -> int:
    return round(config.sampling_rate * milliseconds / 1000)


def _of_window(config: FeatureConfig, milliseconds: int) -> WindowConstants:
    size = _samples(config, milliseconds)
    crossings = CrossingConstants(size=size, before=size // 2) if config.zero_crossing else None
    return WindowConstants(spectrum=_spectral(config, size), crossings=crossings)


def _spectral(config: FeatureConfig, size: int) -> SpectralConstants | None:
    from common.features import spectral

    own = spectral.analysis(config, size)
    if own is None:
        return None
    window, before, points = _taper(own.window)
    levels, (bands, cepstra) = own.bank.shape[1], own.cosines.shape
    kept = range(levels)[own.levels]
    statics = np.zeros((levels, cepstra + len(kept)), dtype=np.float32)
    statics[:bands, :cepstra] = own.cosines.numpy()
    statics[kept, cepstra + np.arange(len(kept))] = 1.0
    return SpectralConstants(
        window=window,
        before=before,
        points=points,
        bank=own.bank.numpy(),
        bands=bands,
        statics=statics,
        frequencies=own.frequencies.numpy() if own.shape else None,
    )


def _taper(padded: torch.Tensor) -> tuple[Array, int, int]:
    """A window without the zeros around it, how many samples it begins before the frame's centre, the points.

    Of a periodic Hann window the first number is 0, and it alone.
    """
    array = padded.numpy()
    inside = np.flatnonzero(array)
    left = inside[0] - 1
    return array[left : inside[-1] + 1], len(array) // 2 - int(left), len(array)


def _taps(order: int) -> Array:
    """Those of Δ and ΔΔ, ``(order, 2 reach + 1)``, as ``derivatives`` of unit impulses gives them."""
    import torch

    from common.features.descriptors import REACH, derivatives

    width = 2 * REACH + 1
    return np.array([own[0].numpy() for own in derivatives(torch.eye(width), order)]).reshape(order, width)


def _pitch(config: FeatureConfig) -> PitchConstants:
    from common.features import pitch

    hop = _samples(config, config.hop)
    own = pitch.tracker(config.sampling_rate, hop)
    taps = own.decimator[:, 0].numpy()
    window, before, points = _taper(own.window)
    return PitchConstants(
        step=own.step,
        taps=taps[: np.flatnonzero(taps)[-1] + 1],
        before=before * own.step + own.size // 2 - points // 2 * own.step,
        window=window,
        points=points,
        correlator=own.correlator.numpy(),
        floor=own.floor,
        lags=own.lags.numpy(),
        bonus=own.bonus.numpy(),
    )
