"""The settings in a downloaded encoder's ``config.json``, each checked as it is read: anybody may have written it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.errors import UsageError

_LARGEST = 1 << 20  # bytes of a file of settings


@dataclass(frozen=True)
class HubConfig:
    """A file of settings in Hugging Face's layout.

    Attributes:
        path: of the file.
        values: what it says, by name.
        used: what was read of it so far, by name, with the defaults of what it does not say.
    """

    path: Path
    values: dict[str, Any]
    used: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> HubConfig:
        """Read a file of settings.

        Raises:
            UsageError: it is not there, too large, or no JSON object.
        """
        try:
            if path.stat().st_size > _LARGEST:
                raise UsageError(f"{path}: larger than 1 MB, expected an encoder's settings")
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror or error}; expected an encoder's settings") from None
        except (ValueError, RecursionError):
            raise UsageError(f"{path}: not JSON; expected an encoder's settings, download it again") from None
        if not isinstance(values, dict):
            raise UsageError(f"{path}: expected an object of settings")
        return cls(path, values)

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number; without a default it has to be there.

        Raises:
            UsageError: it is missing, none, or out of range.
        """
        value = self._value(name, default)
        if type(value) is not int or not low <= value <= high:
            raise UsageError(f"{self.path}: {name} is {_short(value)}, expected a whole number from {low} to {high}")
        return value

    def part(self, name: str, of: int, default: int | None = None) -> int:
        """A whole number that another is a multiple of.

        Raises:
            UsageError: it is missing, none, or no such part.
        """
        value = self.whole(name, 1, of, default)
        if of % value:
            raise UsageError(f"{self.path}: {name} is {value}, expected a part of {of}")
        return value

    def wholes(self, name: str, low: int, high: int, default: Sequence[int]) -> tuple[int, ...]:
        """Whole numbers, one at least and 32 at most.

        Raises:
            UsageError: they are none, or one is out of range.
        """
        values = self._value(name, list(default))
        good = isinstance(values, list) and 1 <= len(values) <= 32
        if not good or any(type(value) is not int or not low <= value <= high for value in values):
            raise UsageError(f"{self.path}: {name} is {_short(values)}, expected whole numbers from {low} to {high}")
        return tuple(values)

    def small(self, name: str, default: float) -> float:
        """A number above 0 and below 1.

        Raises:
            UsageError: it is none.
        """
        value = self._value(name, default)
        if type(value) is not float or not 0 < value < 1:
            raise UsageError(f"{self.path}: {name} is {_short(value)}, expected a number between 0 and 1")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Yes or no.

        Raises:
            UsageError: it is neither.
        """
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise UsageError(f"{self.path}: {name} is {_short(value)}, expected true or false")
        return value

    def word(self, name: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of the choices.

        Raises:
            UsageError: it is missing, or another.
        """
        value = self._value(name, default)
        if not isinstance(value, str) or value not in choices:
            raise UsageError(f"{self.path}: {name} is {_short(value)}, which is not read; {', '.join(choices)} is")
        return value

    def refuse(self, name: str) -> None:
        """Refuse an encoder that has a part which is not read.

        Raises:
            UsageError: it has.
        """
        if value := self.values.get(name):
            raise UsageError(f"{self.path}: {name} is {_short(value)}: encoders with such a part are not read")

    def _value(self, name: str, default: object) -> Any:
        value = self.values.get(name, default)
        if value is None:
            raise UsageError(f"{self.path}: no {name}; download the encoder's config.json again")
        self.used[name] = value
        return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
