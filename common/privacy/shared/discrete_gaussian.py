"""Exact discrete Gaussian noise: whole numbers x with probability proportional to exp(-x² / 2 s²).

Canonne, Kamath & Steinke (NeurIPS 2020) draw a discrete Laplace number and keep it with a probability exp(-g), g a
fraction; all that they draw are whole numbers and such coins. Here many are drawn at once. A coin is a random real
number R of endless bits, thrown by ``R < exp(-g)``: its first 53 bits and a floating point exp(-g) decide it, unless
they are nearer to each other than that can be wrong by. Then, once in a thousand million coins, more bits and
decimals decide. So no probability is rounded, and the floats that Mironov (2012) warned of are never released.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import UsageError
from common.privacy.stream import SecretStream

MOST_VARIANCE = 2**84  # then all whole numbers here are exact in 53 bits, but of one case in e^45
_BITS, _WRONG = 53, 2.0**-32  # bits of R at first; what floating point can be wrong by in exp(-g), relative to 1 + g
_SPARE = 1.3  # so many more are drawn than are left to find: about as many as are refused

Whole = npt.NDArray[np.int64]
Coins = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def discrete_gaussian(stream: SecretStream, variance: int, count: int) -> Whole:
    """``(count,)`` independent numbers.

    Args:
        stream: of secret random numbers.
        variance: s², from 1; the numbers' own is the same to many digits, from 10 on.
        count: how many.

    Raises:
        UsageError: the variance is no whole number in the range.
    """
    if not 1 <= variance <= MOST_VARIANCE:
        raise UsageError(f"a discrete Gaussian's variance is {variance}, expected 1 to 2^84")
    scale, kept = math.isqrt(variance) + 1, np.empty(0, np.int64)
    while len(kept) < count:
        drawn = _discrete_laplace(stream, scale, int((count - len(kept)) * _SPARE) + 8)
        away = np.abs(drawn.astype(np.float64)) - variance / scale
        exponents = away**2 / (2.0 * variance)

        def exact(place: int, own: Whole = drawn) -> Fraction:
            return Fraction((abs(int(own[place])) * scale - variance) ** 2, 2 * variance * scale**2)

        kept = np.concatenate([kept, drawn[throw_coins(stream, exponents, exact)]])
    return kept[:count]


def _discrete_laplace(stream: SecretStream, scale: int, count: int) -> Whole:
    """At most ``count`` numbers with probabilities proportional to exp(-|x| / scale); fewer where some are refused."""
    low = _below(stream, scale, count)
    low = low[throw_coins(stream, low / scale, lambda place: Fraction(int(low[place]), scale))]
    size = low + scale * _geometric(stream, len(low))
    negative = (stream.words(len(size)) & np.uint64(1)).astype(bool)
    twice = negative & (size == 0)  # 0 has no sign: once is enough
    signed: Whole = np.where(negative, -size, size)[~twice]
    return signed


def _below(stream: SecretStream, bound: int, count: int) -> Whole:
    """At most ``count`` numbers from 0 to ``bound`` - 1, each as likely."""
    words = stream.words(count)
    most = 2**64 - 2**64 % bound
    if most < 2**64:
        words = words[words < np.uint64(most)]
    return (words % np.uint64(bound)).astype(np.int64)


def _geometric(stream: SecretStream, count: int) -> Whole:
    """How many coins of exp(-1) come up before the first that doesn't, ``(count,)``."""
    found, going = np.zeros(count, np.int64), np.arange(count)
    while len(going):
        going = going[throw_coins(stream, np.ones(len(going)), lambda _: Fraction(1))]
        found[going] += 1
    return found


def throw_coins(stream: SecretStream, exponents: Floats, exact: Callable[[int], Fraction]) -> Coins:
    """Coins that come up with the probabilities exp(-g), exactly.

    Args:
        stream: of secret random numbers.
        exponents: each g in floating point, 0 or more, right to 2^-34 of 1 + g.
        exact: g itself, by its place.
    """
    bits = stream.words(len(exponents)) >> np.uint64(64 - _BITS)
    low = bits.astype(np.float64) * 2.0**-_BITS
    chance = np.exp(-exponents)
    wrong = chance * (1 + exponents) * _WRONG + 1e-300
    below, above = low + 2.0**-_BITS <= chance - wrong, low >= chance + wrong
    for place in np.flatnonzero(~below & ~above):
        below[place] = _decided(stream, int(bits[place]), exact(int(place)))
    return below


def _decided(stream: SecretStream, bits: int, gamma: Fraction) -> bool:
    """Whether R, whose first bits are known, is below exp(-g): with more of them, until it shows."""
    known, digits = _BITS, 40
    while True:
        chance, wrong = _exponential(gamma, digits)
        if Fraction(bits + 1, 2**known) <= chance - wrong:
            return True
        if Fraction(bits, 2**known) >= chance + wrong:
            return False
        bits, known, digits = (bits << 64) | int(stream.words(1)[0]), known + 64, digits + 40


def _exponential(gamma: Fraction, digits: int) -> tuple[Fraction, Fraction]:
    """exp(-g) to so many digits, and what it can be wrong by; ``decimal`` rounds each operation correctly."""
    with decimal.localcontext() as context:
        context.prec, context.Emin = digits, decimal.MIN_EMIN
        value: Any = (-decimal.Decimal(gamma.numerator) / decimal.Decimal(gamma.denominator)).exp()
    chance = Fraction(value)
    return chance, chance * (gamma + 2) / 10 ** (digits - 2)
