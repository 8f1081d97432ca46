"""Kinds of values that a message may hold, as plain data, each with the check of a value that came.

A check makes each value anew, of a plain type, and so passes on nothing that was not declared; or it says in a line
what is wrong, to be put behind "the reply's" or "its". It is the same at both ends, each of which runs its own copy.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.errors import FedserError
from common.messages.npy import Values, values_of

SHA256 = r"[0-9a-f]{64}"
MOST = 10**9  # of a number that has no narrower bound
RECORDINGS = 10_000_000  # the most that a site can hold: they are its weight in the mean, so more is no count
WIDEST = 100_000  # numbers of an array whose length is not known beforehand: one for each feature of a frame


class Misfit(FedserError):  # noqa: N818 - it is of a message, not of this program
    """Something in a message is not as declared."""


def is_sha256(text: object) -> bool:
    """Whether it is a SHA-256 in lower-case hex."""
    return isinstance(text, str) and re.fullmatch(SHA256, text) is not None


_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 80
_brief.maxlist = _brief.maxlevel = 3


def short(value: object) -> str:
    """A stranger's value for a log: in one line, and no longer than one."""
    return _brief.repr(value)


def _expect(fits: bool, value: object, expected: str) -> None:
    if not fits:
        raise Misfit(f"is {short(value)}, expected {expected}")


@dataclass(frozen=True)
class Count:
    """A whole number."""

    least: int = 0
    most: int = MOST

    def read(self, value: Any) -> int:
        """The number, checked."""
        fits = type(value) is int and self.least <= value <= self.most
        _expect(fits, value, f"a whole number from {self.least} to {self.most}")
        return int(value)


@dataclass(frozen=True)
class Number:
    """A finite number; ``endless`` lets infinity pass, as an ε without noise is."""

    least: float = 0.0
    most: float = MOST
    endless: bool = False

    def read(self, value: Any) -> float:
        """The number, checked."""
        fits = type(value) in (int, float) and (
            self.least <= value <= self.most or (self.endless and value == math.inf)
        )
        _expect(fits, value, f"a number from {self.least:g} to {self.most:g}")
        return float(value)


@dataclass(frozen=True)
class Truth:
    """True or false; ``only`` the one that may be."""

    only: bool | None = None

    def read(self, value: Any) -> bool:
        """The truth value, checked."""
        fits = type(value) is bool and self.only in (None, value)
        _expect(fits, value, "true or false" if self.only is None else str(self.only).lower())
        return bool(value)


@dataclass(frozen=True)
class Text:
    """A text that a pattern fits whole; ``words`` say what it is."""

    pattern: str
    words: str

    def read(self, value: Any) -> str:
        """The text, checked."""
        _expect(isinstance(value, str) and re.fullmatch(self.pattern, value) is not None, value, self.words)
        return str(value)


@dataclass(frozen=True)
class Names:
    """A list of texts, none of them twice; all ``among`` those, where they are given."""

    among: tuple[str, ...] | None = None

    def read(self, value: Any) -> list[str]:
        """The list, checked."""
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        fits = texts and len(set(value)) == len(value) and (self.among is None or set(value) <= set(self.among))
        _expect(fits, value, "texts" if self.among is None else f"some of {', '.join(sorted(self.among)) or 'none'}")
        return list(value)


@dataclass(frozen=True)
class Confusion:
    """Confusion counts ``(groups, classes, classes)``, flat, of 1 to ``groups`` groups, none of them empty."""

    classes: int
    groups: int

    def read(self, value: Any) -> list[int]:
        """The counts, checked."""
        cells = self.classes**2
        counts = isinstance(value, list) and all(type(item) is int and 0 <= item <= MOST for item in value)
        fits = counts and len(value) % cells == 0 and 1 <= len(value) // cells <= self.groups
        fits = fits and all(any(value[i : i + cells]) for i in range(0, len(value), cells))
        _expect(fits, value, f"{cells} counts for each group, at most {self.groups} groups, none of them empty")
        return list(value)


@dataclass(frozen=True)
class Several:
    """A list of so many numbers of one kind."""

    each: Count | Number
    length: int

    def read(self, value: Any) -> list[Any]:
        """The list, checked."""
        fits = isinstance(value, list) and len(value) == self.length
        _expect(fits, value, f"a list of {self.length} numbers")
        return [self.each.read(item) for item in value]


@dataclass(frozen=True)
class Maybe:
    """A value, or null."""

    value: Count | Number | Text

    def read(self, value: Any) -> Any:
        """The value, checked."""
        return None if value is None else self.value.read(value)


@dataclass(frozen=True)
class Json:
    """The text of a JSON object with just these keys."""

    fields: Mapping[str, Field]

    def read(self, value: Any) -> dict[str, Any]:
        """The object, checked, its keys in the declaration's order."""
        try:
            found = json.loads(value) if isinstance(value, str) else None
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Misfit(f"is {short(value)}, expected a JSON object")
        return read_fields("whose", found, self.fields)


@dataclass(frozen=True)
class Numbers:
    """An array of finite numbers; ``None`` in its shape stands for any length up to ``WIDEST``."""

    dtype: str
    shape: tuple[int | None, ...]

    def read(self, value: Any) -> Values:
        """The array's values, checked."""
        try:
            values = values_of(value)
        except FedserError as error:
            raise Misfit(f"cannot be read: {error}") from None
        like = len(values.shape) == len(self.shape) and all(
            found == length if length is not None else 1 <= found <= WIDEST
            for found, length in zip(values.shape, self.shape, strict=True)
        )
        if not like or str(values.dtype) != self.dtype:
            expected = str([f"1 to {WIDEST}" if length is None else length for length in self.shape]).replace("'", "")
            raise Misfit(f"is {values.dtype}{list(values.shape)}, expected {self.dtype}{expected}")
        if not np.isfinite(values).all():
            raise Misfit("holds numbers that are not finite")
        return values


Field = Count | Number | Truth | Text | Names | Confusion | Several | Maybe | Json | Numbers
Fields = Mapping[str, Field]


def read_fields(name: str, values: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """The values of just these keys, checked, in the order of the declaration.

    Args:
        name: of what holds them, for the message.
        values: as they came.
        fields: what they must be.

    Raises:
        Misfit: one is missing, there is another, or a value is not as declared.
    """
    if extra := sorted(map(str, values.keys() - fields.keys())):
        raise Misfit(f"{name} {short(extra[0])} is not expected")
    if missing := sorted(fields.keys() - values.keys()):
        raise Misfit(f"{name} {', '.join(missing[:3])} is missing")
    told = {}
    for key, own in fields.items():
        try:
            told[key] = own.read(values[key])
        except Misfit as misfit:
            raise Misfit(f"{name} {key} {misfit}") from None
    return told
