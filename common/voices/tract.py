"""The vocal tract: resonances that move from frame to frame, applied by overlap-add."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from common.voices.phones import HOP, Array

RATE = 16000  # Hz, of everything made here
STEP = round(HOP * RATE)  # samples between two frames
WINDOW = 4 * STEP  # 20 ms
FFT = 12 * STEP  # the window, and 40 ms for the resonances to ring
UPPER = (3500.0, 4500.0, 5500.0)  # F4 to F6 of a man's tract in Hz: nearly the same in all vowels
BANDWIDTHS = (70.0, 90.0, 140.0, 200.0, 280.0, 350.0)  # Hz, about those of Klatt (1980, JASA 67, Table II)
FRICTION_WIDTH = 0.25  # of the friction's band, as a share of its centre
FREQUENCIES = np.fft.rfftfreq(FFT, 1 / RATE)

Spectrum = npt.NDArray[np.complex128]


def resonances(formants: Array, scale: float) -> Spectrum:
    """A cascade of six resonators at each frame, gain 1 at 0 Hz (Klatt 1980).

    Args:
        formants: F1 to F3 in Hz, ``(frames, 3)``.
        scale: factor on all formants.

    Returns:
        The frequency response, ``(frames, FFT // 2 + 1)``.
    """
    upper = np.broadcast_to(UPPER, (len(formants), len(UPPER)))
    centres = np.minimum(np.concatenate([formants, upper], axis=1) * scale, 0.48 * RATE)
    radius = np.exp(-np.pi * np.array(BANDWIDTHS) / RATE)
    middle = -2 * radius * np.cos(2 * np.pi * centres / RATE)
    denominator = np.zeros((len(formants), 2 * len(BANDWIDTHS) + 1))
    denominator[:, 0] = 1
    for i, r in enumerate(radius):
        section = denominator.copy()
        section[:, 1:] += middle[:, i, None] * denominator[:, :-1]
        section[:, 2:] += r**2 * denominator[:, :-2]
        denominator = section / (1 + middle[:, i] + r**2)[:, None]
    response: Spectrum = 1 / np.fft.rfft(denominator, FFT, axis=1)
    return response


def tilt(decibels: float) -> Array:
    """A slope in dB per octave above 500 Hz, level below; a gain by frequency, ``(FFT // 2 + 1,)``."""
    gain: Array = 10 ** (decibels * np.log2(np.maximum(FREQUENCIES, 500) / 500) / 20)
    return gain


def friction(centre: Array) -> Array:
    """The noise of a narrow passage, a band around its centre in Hz ``(frames,)``: ``(frames, FFT // 2 + 1)``."""
    band: Array = np.exp(-0.5 * ((FREQUENCIES - centre[:, None]) / (FRICTION_WIDTH * centre[:, None])) ** 2)
    return band


def analyse(signal: Array) -> Spectrum:
    """The windowed spectra of a signal ``(frames * STEP,)``: ``(frames, FFT // 2 + 1)``."""
    padded = np.pad(signal, (WINDOW // 2, WINDOW // 2 - STEP))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return np.fft.rfft(sliding_window_view(padded, WINDOW)[::STEP] * window, FFT, axis=1)


def synthesise(spectra: Spectrum) -> Array:
    """The signal ``(frames * STEP,)`` of spectra as ``analyse`` makes them, filtered or not."""
    blocks = np.fft.irfft(spectra, FFT, axis=1).reshape(len(spectra), -1, STEP)
    overlap = blocks.shape[1]
    signal = np.zeros((len(spectra) + overlap, STEP))
    for shift in range(overlap):
        signal[shift : shift + len(spectra)] += blocks[:, shift]
    start = WINDOW // 2
    gain = 2 * STEP / WINDOW  # Hann windows a quarter apart add up to 2
    return signal.ravel()[start : start + len(spectra) * STEP] * gain
