"""Updates as whole numbers modulo 2^32, which add exactly and in any order, masked or not.

A site's word is its update's entry, times its share of the roster's recordings, in steps of 2^-29. The shares of a
roster come to 1, so the sum of all is a mean, and a mean of entries below ``MOST`` fits a word: a sign and two bits in
front of the point. Nothing is weighed anew when a site drops out: the sum is divided by the share of those in it.

Rounding is to the nearest step, halves to the even one, of one product in float64: the same on every machine. It moves
a word by half a step, so a mean over n sites by at most n/2 steps: 1e-9 a site.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
Vector = npt.NDArray[np.float64]

STEP = 2.0**-29
MOST = 4.0 - 2.0**-12  # of an entry: with the rounding of 2^17 sites a mean stays below 4, and no honest sum wraps


def words_of(update: Vector, weight: int, total: int) -> Words:
    """A site's words, not masked yet.

    Args:
        update: ``(entries,)``, finite, each at most ``MOST`` in absolute value: that is for who sends it to check.
        weight: the site's recordings.
        total: of the roster, at least ``weight``.

    Returns:
        ``(entries,)``, negative numbers as their two's complement.
    """
    steps = np.rint(update * (weight / total / STEP))
    return steps.astype(np.int64).astype(np.uint32)  # by way of int64: a float below zero has no uint32


def mean_of(words: Words, weight: int, total: int) -> Vector:
    """The weighted mean that a sum of words stands for.

    Args:
        words: ``(entries,)``, summed modulo 2^32.
        weight: the recordings of the sites that are in the sum, together.
        total: of the roster.
    """
    return words.view(np.int32).astype(np.float64) * STEP / (weight / total)
