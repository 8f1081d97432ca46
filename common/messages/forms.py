"""The form of a whole message, as plain data: its records, their keys, and the check of what came against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from common.messages.fields import Fields, Misfit, read_fields, short

Told = dict[str, dict[str, Any]]  # the checked values of a message, by record and key
Content = Mapping[str, Mapping[str, Any]]  # a message's records as they came: Flower's RecordDict, not packed


@dataclass(frozen=True, kw_only=True)
class RecordForm:
    """A record of a message.

    Attributes:
        kind: Flower's name of its type: ``ArrayRecord``, ``ConfigRecord`` or ``MetricRecord``.
        fields: the keys that it has.
        perhaps: groups of keys that it may have; each comes whole or not at all.
        needed: whether the record must be there.
    """

    kind: str
    fields: Fields = field(default_factory=dict)
    perhaps: tuple[Fields, ...] = ()
    needed: bool = True

    @property
    def keys(self) -> set[str]:
        """All that it may have."""
        return {key for group in (self.fields, *self.perhaps) for key in group}

    def read(self, name: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """The values of a record, checked.

        Raises:
            Misfit: it is of another kind, lacks a key, has another, or one's value is not as declared.
        """
        if type(record).__name__ != self.kind:
            raise Misfit(f"record {name} is a {type(record).__name__}, expected a {self.kind}")
        return self.values(name, record)

    def values(self, name: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """As ``read``, of the bare keys and values.

        Raises:
            Misfit: as ``read``.
        """
        there = [group for group in self.perhaps if group.keys() & record.keys()]
        needed = {key: own for group in (self.fields, *there) for key, own in group.items()}
        return read_fields(f"{name}:", record, needed)


Rule = Callable[[Told], str | None]  # what is wrong between values that are each as declared


@dataclass(frozen=True, kw_only=True)
class Form:
    """A message: its records by name, and what must hold between them."""

    records: Mapping[str, RecordForm]
    rules: tuple[Rule, ...] = ()

    def read(self, content: Content) -> Told:
        """All values of a message, checked and made anew.

        Args:
            content: of the message, its arrays not packed.

        Raises:
            Misfit: it is not of this form; the first thing that is wrong, in a line.
        """
        if extra := sorted(content.keys() - self.records.keys()):
            raise Misfit(f"record {short(extra[0])} is not expected")
        if missing := sorted(name for name, own in self.records.items() if own.needed and name not in content):
            raise Misfit(f"record {missing[0]} is missing")
        values = {name: own.read(name, content[name]) for name, own in self.records.items() if name in content}
        for rule in self.rules:
            if fault := rule(values):
                raise Misfit(fault)
        return values

    def fault(self, content: Content) -> str | None:
        """What is wrong with a message, in a line; None where nothing is."""
        try:
            self.read(content)
        except Misfit as misfit:
            return str(misfit)
        return None
