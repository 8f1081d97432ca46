"""Typed, frozen records of JSON objects: read with a check of every field, written back as they were.

An object that was read is written with its own keys in their order, so that a file that was read and written is the
same file. A key that this version does not know is kept beside the fields and written back: a result of a later version
is read without loss, as long as what this version knows of it has kept its kind.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

from common.errors import FedserError


def may_lack(default: Any = None) -> Any:
    """A field whose key is absent where there is nothing to say, instead of null."""
    return field(default=default, metadata={"absent": True})


BESIDE = {"beside": True}  # the metadata of a field that is no part of the JSON


@dataclass(frozen=True, kw_only=True)
class Record:
    """A JSON object; a subclass has a field for each key.

    Attributes:
        keys: those of the object that it was read from, in their order; none where it was made here.
        unknown: what the object has under keys that are no field.
    """

    keys: tuple[str, ...] = field(default=(), repr=False, compare=False, metadata=BESIDE)
    unknown: Mapping[str, Any] = field(default_factory=dict, repr=False, metadata=BESIDE)

    @classmethod
    def from_json(cls, value: Any, where: str = "") -> Self:
        """Read an object.

        Args:
            value: as ``json.loads`` gives it.
            where: its place in the file, for the error.

        Raises:
            FedserError: a key is missing, or its value is of another kind; it is named.
        """
        if not isinstance(value, Mapping):
            raise FedserError(f"{where or 'the whole'} is {_shown(value)}, expected an object")
        place = f"{where}." if where else ""
        shape = cls._shape()
        for name in shape.required:
            if name not in value:
                raise FedserError(f"{place}{name} is missing")
        kinds = shape.kinds
        known = {name: _parse(kinds[name], value[name], f"{place}{name}") for name in kinds if name in value}
        unknown = {name: own for name, own in value.items() if name not in kinds}
        return cls(keys=tuple(value), unknown=unknown, **known)

    def as_json(self) -> dict[str, Any]:
        """The object again, for ``json.dumps``."""
        shape = self._shape()
        optional = shape.kinds if self.keys else shape.absent
        lacking = {name for name in optional if getattr(self, name) is None}
        names = [*self.keys, *(name for name in shape.kinds if name not in self.keys and name not in lacking)]
        return {name: self.unknown[name] if name in self.unknown else _plain(getattr(self, name)) for name in names}

    @classmethod
    def _shape(cls) -> _Shape:
        known: Any = cls
        return _shape(known)


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """Of a class of records: the kind of each key, the keys that must be there, and those that may be absent."""

    kinds: dict[str, Any]
    required: tuple[str, ...]
    absent: frozenset[str]


@functools.cache
def _shape(cls: Any) -> _Shape:
    hints = get_type_hints(cls)
    keys = [own for own in dataclasses.fields(cls) if "beside" not in own.metadata]
    return _Shape(
        kinds={own.name: hints[own.name] for own in keys},
        required=tuple(own.name for own in keys if own.default is dataclasses.MISSING),
        absent=frozenset(own.name for own in keys if "absent" in own.metadata),
    )


def _parse(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if get_origin(kind) in (Union, types.UnionType):
        return _parse(_member(kind, value, where), value, where)
    if get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        return tuple(_parse(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if get_origin(kind) is Mapping and isinstance(value, Mapping):
        return {name: _parse(get_args(kind)[1], item, f"{where}.{name}") for name, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_json(value, where)
    if isinstance(kind, type) and _is(kind, value):
        return value
    raise FedserError(f"{where} is {_shown(value)}, expected {_name(kind)}")


def _member(kind: Any, value: Any, where: str) -> Any:
    """Of a union the kind that a value has, by its JSON type; unions here have one of each."""
    for member in get_args(kind):
        origin = get_origin(member) or member
        if origin is tuple:
            fits = isinstance(value, (list, tuple))
        elif origin is Mapping or issubclass(origin, Record):
            fits = isinstance(value, Mapping)
        else:
            fits = _is(origin, value)
        if fits:
            return member
    raise FedserError(f"{where} is {_shown(value)}, expected {_name(kind)}")


def _is(kind: type, value: Any) -> bool:
    """Whether a value is of a kind; a whole number is a float too, a truth value is no number."""
    if kind is float:
        return type(value) in (int, float)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_json()
    if isinstance(value, Mapping):
        return {name: _plain(own) for name, own in value.items()}
    return [_plain(own) for own in value] if isinstance(value, (list, tuple)) else value


def _name(kind: Any) -> str:
    names = [getattr(get_origin(own) or own, "__name__", str(own)) for own in get_args(kind) or (kind,)]
    if get_origin(kind) in (tuple, Mapping):
        return "a list" if get_origin(kind) is tuple else "an object"
    return " or ".join("null" if name == "NoneType" else name for name in names)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
