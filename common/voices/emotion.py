"""How an emotion moves a voice: directions from the literature, with overlap between the emotions.

The directions follow the reviews of Murray & Arnott (1993, JASA 93, Table I), Banse & Scherer (1996, JPSP 70) and
Juslin & Laukka (2003, Psychological Bulletin 129, Table 7), those of voice quality Gobl & Ní Chasaide (2003, Speech
Communication 40: tense for anger, breathy and lax for sadness), and the smile's raised formants Tartter (1980,
Perception & Psychophysics 27). The sizes are our own: chosen so that classes overlap as in acted speech.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Expression:
    """How far an utterance lies from its speaker's calm voice.

    Attributes:
        pitch: F0's mean, in semitones.
        span: F0's range, in octaves of accent height.
        slope: F0's course from the first to the last syllable, in semitones.
        rate: tempo, in octaves of syllables per second.
        level: loudness, in dB.
        tilt: the spectrum's slope above 500 Hz, in dB per octave; above 0 is brighter.
        openness: the glottis's open quotient; above 0 is laxer.
        breath: aspiration, in dB.
        jitter: irregularity of the cycles' lengths and amplitudes, in octaves.
        pauses: the odds of a pause between two words, in octaves.
        smile: formants' scale, as a logarithm; above 0 the lips are spread.
    """

    pitch: float = 0.0
    span: float = 0.0
    slope: float = 0.0
    rate: float = 0.0
    level: float = 0.0
    tilt: float = 0.0
    openness: float = 0.0
    breath: float = 0.0
    jitter: float = 0.0
    pauses: float = 0.0
    smile: float = 0.0


DIMENSIONS = tuple(field.name for field in fields(Expression))

EFFECTS = {
    "neutral": Expression(),
    "anger": Expression(
        pitch=3.5, span=0.5, slope=-1.0, rate=0.2, level=5.5, tilt=2.4, openness=-0.07, breath=-3.0, jitter=0.6,
        pauses=-0.7, smile=-0.01,
    ),
    "happiness": Expression(
        pitch=3.5, span=0.6, slope=1.2, rate=0.12, level=3.0, tilt=1.0, openness=-0.01, jitter=0.1, pauses=-0.4,
        smile=0.035,
    ),
    "excitement": Expression(
        pitch=4.5, span=0.8, slope=1.2, rate=0.25, level=4.5, tilt=1.4, openness=-0.03, jitter=0.3, pauses=-0.8,
        smile=0.03,
    ),
    "sadness": Expression(
        pitch=-1.2, span=-0.5, slope=-1.0, rate=-0.25, level=-3.5, tilt=-1.8, openness=0.06, breath=5.0, jitter=0.3,
        pauses=1.2, smile=-0.02,
    ),
    "fear": Expression(
        pitch=4.5, span=-0.2, slope=0.5, rate=0.25, level=-0.5, tilt=0.5, openness=0.02, breath=3.5, jitter=1.0,
        pauses=0.6,
    ),
    "disgust": Expression(
        pitch=-1.5, span=0.1, slope=-1.5, rate=-0.2, level=-0.5, tilt=0.8, openness=-0.05, jitter=1.0, pauses=0.6,
        smile=0.015,
    ),
    "surprise": Expression(
        pitch=5.5, span=0.8, slope=5.0, rate=0.05, level=2.0, tilt=0.6, breath=1.5, pauses=-0.3, smile=-0.015,
    ),
    "boredom": Expression(
        pitch=-2.0, span=-0.8, slope=-0.8, rate=-0.3, level=-2.0, tilt=-0.8, openness=0.02, pauses=0.4, smile=-0.02,
    ),
    "calm": Expression(pitch=-0.8, span=-0.35, rate=-0.15, level=-1.8, tilt=-0.8, openness=0.03, breath=1.5),
    "frustration": Expression(
        pitch=1.0, span=0.2, slope=-0.8, rate=-0.05, level=1.8, tilt=1.2, openness=-0.03, breath=2.0, jitter=0.5,
        pauses=0.4,
    ),
}  # fmt: skip

# How much utterances of one speaker and one emotion differ: the standard deviation along each dimension.
SPREAD = Expression(
    pitch=1.7, span=0.4, slope=2.0, rate=0.16, level=2.5, tilt=1.1, openness=0.04, breath=3.0, jitter=0.4,
    pauses=0.8, smile=0.02,
)  # fmt: skip
STRENGTH_SPREAD = 0.35  # of the logarithm of an utterance's strength: some outbursts are hardly one


def express(
    generator: np.random.Generator, emotion: str, *, strength: float = 1.0, habits: tuple[float, ...]
) -> Expression:
    """One utterance's expression of an emotion.

    Args:
        generator: the utterance's randomness.
        emotion: a name in ``EFFECTS``.
        strength: 1 for the emotion's usual effects; the speaker's expressiveness, an actor's instruction.
        habits: a factor on each of ``DIMENSIONS``, the speaker's own.
    """
    mean = strength * float(np.exp(generator.normal(0, STRENGTH_SPREAD))) * np.array(astuple(EFFECTS[emotion]))
    values = mean * np.array(habits) + generator.normal(size=len(DIMENSIONS)) * np.array(astuple(SPREAD))
    return Expression(**dict(zip(DIMENSIONS, values.tolist(), strict=True)))
