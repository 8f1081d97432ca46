"""Checks of arguments; each names the argument that it refuses."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

from common.errors import UsageError
from common.escaping import escaped


def positive(name: str, value: float) -> None:
    """Refuse a value that is not above zero, or is infinite.

    Raises:
        UsageError: ``value`` is zero or below, infinite, or not a number.
    """
    if not 0 < value < math.inf:
        raise UsageError(f"{name} is {value}, expected a number above 0")


def in_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside the closed interval ``[low, high]``.

    Raises:
        UsageError: ``value`` lies outside, or is not a number.
    """
    if not low <= value <= high:
        raise UsageError(f"{name} is {value}, expected {low} to {high}")


def one_of(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value that is not among the choices, and name the nearest.

    Raises:
        UsageError: ``value`` is none of ``choices``.
    """
    known = list(choices)
    if value not in known:
        near = difflib.get_close_matches(value, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{name} is {value!r}, expected one of {', '.join(known)}{hint}")


def plain_path(name: str, path: object) -> None:
    """Refuse a path that isn't UTF-8, where other programs are told of it that take nothing else.

    Raises:
        UsageError: it is none.
    """
    if escaped(str(path)) != str(path):
        raise UsageError(f"{name} {path}: Flower takes paths in UTF-8 alone; rename it, or give a link to it")
