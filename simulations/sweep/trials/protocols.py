"""Protocols of the field as TOML files: a corpus, who is held out, the sites, the conditions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.toml_file import flat, read_table
from common.validate import one_of

FOLDER = Path(__file__).parent / "presets"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A protocol.

    Attributes:
        name: as ``--preset`` takes it.
        settings: by flat name; the user's go before them.
        sweep: ``conditions``, ``strategies`` and ``seeds``, as the options take them.
        expected: what the whole corpus has, ``recordings`` and ``speakers``: another release gives other figures.
        notes: what a reader of its figures must know.
    """

    name: str
    settings: dict[str, Any]
    sweep: dict[str, str]
    expected: dict[str, int]
    notes: tuple[str, ...] = ()


def names() -> list[str]:
    """All presets."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name: str) -> Preset:
    """A preset.

    Raises:
        UsageError: there is none of that name.
    """
    one_of("--preset", name, names())
    table = read_table(FOLDER / f"{name}.toml")
    sweep, expected, notes = table.pop("sweep"), table.pop("expected"), tuple(table.pop("notes", ()))
    return Preset(name=name, settings=flat(table), sweep=sweep, expected=expected, notes=notes)


def notes_of(name: str | None) -> tuple[str, ...]:
    """What a reader of a preset's figures must know; nothing of one that this release does not have."""
    return read(name).notes if name in names() else ()


def deviations(preset: Preset, recordings: int, speakers: int) -> list[str]:
    """How a corpus differs from the one that the protocol is about, a sentence each."""
    found = {"recordings": recordings, "speakers": speakers}
    return [
        f"{preset.name} is about {count} {name}, this corpus has {found[name]}"
        for name, count in preset.expected.items()
        if found[name] != count
    ]
