"""Numbers of any size as counts that fit words: fixed point in steps of 2^-30, in eight digits of sixteen bits each.

Sums of features and of losses need more than a word's 32 bits. Each digit has a word of its own, with room in it for
those of 2^16 sites, so no carry has to pass from word to word: the digits are added up as they are, and put together
afterwards, modulo 2^128, in which a negative number is its two's complement. So the sum is exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from common.errors import FederationError
from common.secure.round_words import Counts

DIGITS, BITS = 8, 16
POINT = 30
_WHOLE = 1 << (DIGITS * BITS)
_DIGIT = (1 << BITS) - 1
MOST = 2.0**90  # of a number: with the steps, and the numbers of 2^7 sites, it stays below 2^127


def digits_of(numbers: Sequence[float]) -> Counts:
    """The digits of numbers.

    Args:
        numbers: finite, below ``MOST`` in absolute value.

    Returns:
        ``(DIGITS * numbers,)``, the lowest digit of each first.

    Raises:
        FederationError: one is not finite, or too large.
    """
    if not all(abs(number) <= MOST for number in numbers):
        raise FederationError(f"a number to add up is not finite, or larger than {MOST:g}; nothing is masked")
    wholes = [round(number * (1 << POINT)) % _WHOLE for number in numbers]
    return np.array([(whole >> (BITS * place)) & _DIGIT for whole in wholes for place in range(DIGITS)], np.int64)


def numbers_of(digits: Sequence[int] | Counts) -> list[float]:
    """The numbers, or the sums, that digits, or sums of digits, stand for.

    Args:
        digits: ``(DIGITS * numbers,)``.
    """
    rows = np.asarray(digits, np.int64).reshape(-1, DIGITS).tolist()
    wholes = [sum(digit << (BITS * place) for place, digit in enumerate(row)) % _WHOLE for row in rows]
    return [(whole - _WHOLE if whole >= _WHOLE // 2 else whole) / (1 << POINT) for whole in wholes]
