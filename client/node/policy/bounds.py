"""Bounds that a site sets: on a run's settings, and on the hours of the day."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any, Self

from common.config.settings import Config, as_read, flatten
from common.errors import UsageError
from common.validate import one_of

Bound = tuple[float, float] | tuple[str, ...] | bool

DEFAULT_BOUNDS: dict[str, Bound] = {
    "training.local_epochs": (1, 20),
    "training.least_steps": (0, 1000),
    "training.batch_size": (1, 1024),
    # What a site computes of each recording, and keeps in memory and cache: whoever starts a run chooses it.
    "features.sampling_rate": (4000, 48_000),
    "features.hop": (5, 100),
    "features.mfcc": (0, 128),
    "features.log_mel": (0, 128),
    "features.stack": (1, 20),
    "encoder.pool": ("statistics",),  # frames of several layers are many times as many numbers
    "augment.copies": (0, 10),
    "augment.noise_recordings": ("",),  # a folder of this machine, whose recordings copies would be mixed with
    "model.projection": (1, 2048),
    "model.hidden": (0, 1024),
    "model.attention": (1, 2048),
    "text.buckets": (0, 0),  # what a site learns of words tells which ones are said there
    "privacy.multiplicity": (1, 32),
    "privacy.max_physical_batch": (1, 1024),
    "federation.proximal_mu": (0, 10),
    "privacy.canaries": (0, 0),  # made-up people: for audits of simulations
}
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def bound_of(name: str, item: Any) -> Any:
    """A bound as a policy file has it, as one of a setting's today's values."""
    if isinstance(item, list):
        return tuple(as_read(name, own) for own in item)
    found = as_read(name, item)
    return item if found is item else (found,)


def check_bound(name: str, bound: Bound) -> None:
    """Refuse a bound that says nothing of its setting.

    Raises:
        UsageError: there is no such setting, or it is of another kind than its bound.
    """
    one_of("run.bounds", name, flatten(Config()))
    value = _value(Config(), name)
    kind = str if name in _TEXT_LISTS else type(value[0] if isinstance(value, tuple) and value else value)
    if kind is bool:
        fits, expected = isinstance(bound, bool), "true or false"
    elif kind is str:
        fits, expected = _all(bound, str), "a list of texts"
    else:
        fits, expected = _all(bound, (int, float)) and len(bound) == 2 and bound[0] <= bound[1], "[least, greatest]"  # type: ignore[arg-type,index,operator]
    if not fits:
        raise UsageError(f"run.bounds: {name} = {bound!r}, expected {expected}")


def outside(name: str, bound: Bound, config: Config) -> str | None:
    """What is wrong with a run's setting, in a line; None where it is within its bound."""
    value = _value(config, name)
    items = value if isinstance(value, tuple) else (value,)
    if all(_within(item, bound) for item in items):
        return None
    return f"the run sets {name} to {value!r}, the policy allows {_in_words(bound)} (run.bounds)"


def _in_words(bound: Bound) -> str:
    if isinstance(bound, bool):
        return str(bound)
    if _all(bound, (int, float)):
        return f"{bound[0]} to {bound[1]}"
    return ", ".join(map(str, bound)) or "nothing"


@dataclass(frozen=True, kw_only=True)
class Hours:
    """A stretch of the day, perhaps over midnight; in minutes after midnight, the end not in it."""

    begin: int = 0
    end: int = 24 * 60

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``20:00-06:00``; an empty text is the whole day.

        Raises:
            UsageError: it is no such text.
        """
        if not text:
            return cls()
        match = _HOURS.fullmatch(text)
        begin, end = (int(match[i]) * 60 + int(match[i + 1]) for i in (1, 3)) if match else (0, 0)
        if begin == end:
            raise UsageError(f"run.hours is {text!r}, expected e.g. 20:00-06:00, or nothing for any time")
        return cls(begin=begin, end=end)

    def contain(self, now: datetime) -> bool:
        """Whether it is within them."""
        minute = now.hour * 60 + now.minute
        if self.begin < self.end:
            return self.begin <= minute < self.end
        return minute >= self.begin or minute < self.end


_TEXT_LISTS = ("data.classes",)  # empty by default, which does not tell what they hold


def _value(config: Config, name: str) -> Any:
    return reduce(getattr, name.split("."), config.features if name.startswith("encoder.") else config)


def _all(bound: Bound, kind: type | tuple[type, ...]) -> bool:
    return isinstance(bound, tuple) and all(isinstance(i, kind) and not isinstance(i, bool) for i in bound)


def _within(item: Any, bound: Bound) -> bool:
    if isinstance(bound, bool) or _all(bound, str):
        return item is bound if isinstance(bound, bool) else item in bound
    low, high = bound
    return bool(low <= item <= high)
