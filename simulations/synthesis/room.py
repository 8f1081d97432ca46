"""Where it is recorded: a room that echoes and is not quite silent."""

from __future__ import annotations

import numpy as np

from common.voices.phones import Array

PEAK = 0.95  # of full scale, where a louder recording is turned down


def record(generator: np.random.Generator, speech: Array, rate: int) -> Array:
    """Speech as a microphone in a room hears it.

    The reverberation lasts 0.15 to 0.5 s (T60) and lies 5 to 18 dB below the direct sound; pink noise lies 10 to 30 dB
    below the speech.

    Args:
        generator: the utterance's randomness.
        speech: the dry signal, ``(samples,)``.
        rate: its sampling rate in Hz.

    Returns:
        A signal of the same shape, its peak at most ``PEAK``.
    """
    echo = reverberation(generator, rate, seconds=generator.uniform(0.15, 0.5), below=generator.uniform(5, 18))
    size = _fast_length(len(speech) + len(echo))
    wet = np.fft.irfft(np.fft.rfft(speech, size) * np.fft.rfft(echo, size), size)[: len(speech)]
    noise = pink_noise(generator, len(speech))
    snr = generator.uniform(10, 30)
    noisy = wet + noise * np.sqrt(np.mean(wet**2)) * 10 ** (-snr / 20)
    heard: Array = noisy / max(1.0, float(np.abs(noisy).max()) / PEAK)
    return heard


def reverberation(generator: np.random.Generator, rate: int, *, seconds: float, below: float) -> Array:
    """A room's impulse response: the direct sound, then noise that falls by 60 dB.

    Args:
        generator: the utterance's randomness.
        rate: sampling rate in Hz.
        seconds: the reverberation time T60.
        below: the reverberation's energy in dB below the direct sound's.

    Returns:
        The response, ``(samples,)``, with 1 for the direct sound.
    """
    time = np.arange(round(seconds * rate)) / rate
    tail = generator.normal(size=len(time)) * 10 ** (-3 * time / seconds)
    tail[: round(0.003 * rate)] = 0  # the first reflection's way is a metre longer than the direct one
    response: Array = tail * 10 ** (-below / 20) / np.sqrt(np.sum(tail**2))
    response[0] = 1
    return response


def pink_noise(generator: np.random.Generator, samples: int) -> Array:
    """Noise whose power falls by 3 dB an octave, of RMS 1, ``(samples,)``."""
    spectrum = np.fft.rfft(generator.normal(size=_fast_length(samples)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    noise = np.fft.irfft(spectrum)[:samples]
    unit: Array = noise / np.sqrt(np.mean(noise**2))
    return unit


def _fast_length(samples: int) -> int:
    """The next power of two: a transform of a large prime's length is slow."""
    return 1 << (samples - 1).bit_length()
