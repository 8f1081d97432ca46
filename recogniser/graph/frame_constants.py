"""The constants of a front end as numpy arrays, so that who writes graphs needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from recogniser.graph.node_builder import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class SpectralConstants:
    """Of the descriptors that come from one window's spectrum, as ``common.features.spectral.Analysis`` has them.

    Attributes:
        window: Hann of its own samples, periodic.
        before: samples from the window's first to the frame's centre.
        points: of the Fourier transform.
        bank: ``(bins, bands + log-mel bands + energy)``, from power to powers.
        bands: the first of the bank's, under cepstrum and flux.
        statics: ``(levels, statics)``, from the bank's levels in dB to MFCC, log-mel and energy.
        frequencies: of the bins in kHz, where the spectrum's shape is wanted; else None.
    """

    window: Array
    before: int
    points: int
    bank: Array
    bands: int
    statics: Array
    frequencies: Array | None


@dataclass(frozen=True, kw_only=True, eq=False)
class CrossingConstants:
    """Of one window's zero crossings: so many samples, of which so many lie before the frame's centre."""

    size: int
    before: int


@dataclass(frozen=True, kw_only=True, eq=False)
class PitchConstants:
    """Of F0 and voicing, as ``common.features.pitch.Tracker`` has them.

    Attributes:
        step: samples to one after decimation.
        taps: of the low-pass filter.
        before: samples from the filter's first, of the window's first, to the frame's centre.
        window: Hann of its own decimated samples, periodic.
        points: of the Fourier transform.
        correlator: ``(bins, lags + 1)``.
        floor: of a frame's energy.
        lags: ``(lags - 2,)`` in seconds.
        bonus: ``(lags - 2,)``.
    """

    step: int
    taps: Array
    before: int
    window: Array
    points: int
    correlator: Array
    floor: float
    lags: Array
    bonus: Array


@dataclass(frozen=True, kw_only=True)
class WindowConstants:
    """Of one analysis window; None for what is not wanted."""

    spectrum: SpectralConstants | None
    crossings: CrossingConstants | None


@dataclass(frozen=True, kw_only=True)
class FrontConstants:
    """Of a whole front end.

    Attributes:
        hop: samples from frame to frame.
        derivatives: ``(order, 2 reach + 1)``, the taps of Δ and ΔΔ.
        windows: in order.
        pitch: None where it is not wanted.
        columns: of a frame.
    """

    hop: int
    derivatives: Array
    windows: tuple[WindowConstants, ...]
    pitch: PitchConstants | None
    columns: int
