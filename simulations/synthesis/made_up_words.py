"""Made-up words for made-up speech, in no language; a few of them are said in one emotion more than in the others."""

from __future__ import annotations

from common.seeds import numpy_generator
from simulations.synthesis.items import Item

COMMON, LEANING = 40, 6  # words that are said in any emotion, and those of each
LEAN = 0.25  # the share of what is said that is an emotion's own words
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
_KINDS = ("anger", "happiness", "neutral", "sadness")
_ALIKE = {"excitement": "happiness"}  # as the field counts it


def words_of(item: Item) -> str:
    """What is said in a recording: three to nine words, by its speaker, its take and its emotion alone."""
    generator = numpy_generator(0, "words", item.speaker, item.take, item.emotion)
    vocabulary = _vocabulary()
    own = COMMON + LEANING * _KINDS.index(_ALIKE.get(item.emotion, item.emotion))
    leaning = generator.random(generator.integers(3, 10)) < LEAN
    words = [generator.integers(own, own + LEANING) if leans else generator.integers(COMMON) for leans in leaning]
    return " ".join(vocabulary[word] for word in words).capitalize() + "."


def _vocabulary() -> list[str]:
    """Words of two syllables, none of them twice: the common ones, then each emotion's."""
    generator = numpy_generator(0, "vocabulary")
    pairs = generator.choice(len(_SYLLABLES) ** 2, COMMON + LEANING * len(_KINDS), replace=False)
    return [_SYLLABLES[pair // len(_SYLLABLES)] + _SYLLABLES[pair % len(_SYLLABLES)] for pair in pairs]
