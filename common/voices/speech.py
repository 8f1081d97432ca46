"""One utterance of one voice, dry: a source-filter synthesiser (Fant 1960; Klatt 1980)."""

from __future__ import annotations

import numpy as np

from common.voices.emotion import Expression, express
from common.voices.glottis import pulses
from common.voices.phones import Array, Script, write_script
from common.voices.prosody import melody
from common.voices.tract import RATE, STEP, Spectrum, analyse, friction, resonances, synthesise, tilt
from common.voices.voice import Voice

LEVEL = -28.0  # dB of full scale (RMS) of a calm utterance of an average speaker
PAUSE_PROBABILITY = 0.25


def speak(generator: np.random.Generator, voice: Voice, emotion: str, *, strength: float = 1.0) -> Array:
    """Say a few nonsense words.

    Args:
        generator: the utterance's randomness.
        voice: who speaks.
        emotion: a name in ``emotion.EFFECTS``.
        strength: of the emotion's effects, 1 for the usual.

    Returns:
        A signal of 1 to 4 seconds at ``tract.RATE``, of shape ``(samples,)``; its peak may lie above 1.
    """
    expression = express(generator, emotion, strength=strength * voice.expressiveness, habits=voice.habits)
    script = write_script(
        generator,
        rate=voice.rate * 2**expression.rate,
        pause=min(0.9, PAUSE_PROBABILITY * 2**expression.pauses),
    )
    pitch, stress = melody(generator, script, voice, expression)
    signal = synthesise(_voiced(generator, script, voice, expression, pitch, stress) + _noise(generator, script))
    level = LEVEL + voice.level + expression.level
    levelled: Array = signal * 10 ** (level / 20) / np.sqrt(np.mean(signal**2))
    return levelled


def _voiced(
    generator: np.random.Generator, script: Script, voice: Voice, expression: Expression, pitch: Array, stress: Array
) -> Spectrum:
    """The glottal source and its breath through the tract, ``(frames, bins)``."""
    samples = np.arange(len(pitch) * STEP) / STEP
    irregular = 2**expression.jitter
    derivative, flow = pulses(
        generator,
        np.interp(samples, np.arange(len(pitch)), pitch),
        RATE,
        open_quotient=float(np.clip(voice.open_quotient + expression.openness, 0.4, 0.9)),
        jitter=min(0.05, voice.jitter * irregular),
        shimmer=min(0.4, voice.shimmer * irregular),
    )
    breath = 10 ** (min(-6.0, voice.breath + expression.breath) / 20)
    aspiration = breath * (0.3 + flow) * generator.normal(size=len(flow))
    filtered = resonances(script.formants, voice.tract * float(np.exp(expression.smile)))
    source = analyse(derivative) * tilt(voice.tilt + expression.tilt) + analyse(aspiration)
    spectra: Spectrum = source * filtered * (script.voice * stress)[:, None]
    return spectra


def _noise(generator: np.random.Generator, script: Script) -> Spectrum:
    """Friction and bursts, ``(frames, bins)``."""
    spectra: Spectrum = np.zeros((len(script.friction), len(tilt(0))), dtype=complex)
    noisy = script.friction > 0
    hiss = analyse(generator.normal(size=len(script.friction) * STEP))
    spectra[noisy] = hiss[noisy] * friction(script.centre[noisy]) * script.friction[noisy, None]
    return spectra
