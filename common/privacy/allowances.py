"""What a private run may set one setting to, and the line that refuses everything else.

The judgements themselves stand in ``common.privacy.judgements``; ``common.privacy.recipe`` holds a run against them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from common.config.settings import Config, Scalar, flatten

LINE = (
    "{flag} {value} is not judged for a run that is private for each {unit}: expected {allowed}; choose one of them, "
    "or leave it out"
)
UNJUDGED = (
    "{name} is not judged for private runs: expected a row in common/privacy/judgements.py that says what they may set "
    "it to; add one, or run without privacy"
)


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """What a setting may be.

    Attributes:
        values: these alone; None for anything that its section takes.
        line: what refuses another, with ``{flag}``, ``{value}``, ``{unit}`` and ``{allowed}`` to be filled in.
    """

    values: tuple[Scalar, ...] | None = None
    line: str = LINE

    def admits(self, value: Scalar) -> bool:
        """Whether it may be this."""
        return self.values is None or value in self.values

    def __str__(self) -> str:
        """In words, e.g. ``utterance, speaker or public``."""
        if self.values is None:
            return "anything"
        *most, last = map(str, self.values)
        return f"{', '.join(most)} or {last}" if most else last


ANYTHING = Allowed()


def only(*values: Scalar, line: str = LINE) -> Allowed:
    """These values and no other."""
    return Allowed(values=values, line=line)


@dataclass(frozen=True)
class Judgement:
    """What private runs may set a setting to, and why.

    Attributes:
        why: one sentence: why it tells nothing of another unit.
        allowed: whatever the unit is.
        units: what a unit allows of that, where it allows less.
        flag: of the command line, where the setting has one and can be refused by the common line.
        beside: another setting; while that is zero or empty, this one does nothing and is not looked at.
    """

    why: str
    allowed: Allowed = ANYTHING
    units: Mapping[str, Allowed] = field(default_factory=dict)
    flag: str = ""
    beside: str = ""

    def of(self, unit: str) -> Allowed:
        """What a run that is private for each of these may set it to."""
        return self.units.get(unit, self.allowed)


def refusals(judgements: Mapping[str, Judgement], config: Config) -> Iterator[str]:
    """Why a private run is refused, a line each, in the order of the judgements; what has none is refused at the end.

    Args:
        judgements: by the settings' flat names.
        config: of the run.
    """
    settings = flatten(config)
    for name in judgements:
        if name in settings and (line := _refusal(name, judgements[name], settings)):
            yield line
    for name in settings:
        if name not in judgements:
            yield UNJUDGED.format(name=name)


def _refusal(name: str, judgement: Judgement, settings: Mapping[str, Scalar]) -> str | None:
    if judgement.beside and not settings[judgement.beside]:
        return None
    unit, value = str(settings["privacy.unit"]), settings[name]
    for allowed in (judgement.allowed, judgement.of(unit)):
        if not allowed.admits(value):
            words = {"flag": judgement.flag or name, "value": value, "unit": unit, "allowed": judgement.of(unit)}
            return allowed.line.format(**words)
    return None
