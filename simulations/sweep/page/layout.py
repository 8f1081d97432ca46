"""What the page is made of: chapters, their sections, figures with the tables of their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.reporting.tables import Table
from simulations.sweep.page.drawing import Drawing


@dataclass(frozen=True, kw_only=True)
class Illustration:
    """A figure of the page, with the table of its numbers.

    Attributes:
        key: its id, and the name of its files.
        heading: what stands above it.
        caption: how to read it.
        drawing: in all its forms.
        table: its numbers.
    """

    key: str
    heading: str
    caption: str
    drawing: Drawing
    table: Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a chapter.

    Attributes:
        key: its id.
        heading: of it.
        words: a paragraph.
        figures: side by side where there is room.
        tables: below; by key, the name of the CSV file.
        folded: tables that are shown on demand.
    """

    key: str
    heading: str
    words: str = ""
    figures: Sequence[Illustration] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    folded: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A figure in large letters."""

    name: str
    value: str
    note: str
    main: bool = False


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """All of one benchmark.

    Attributes:
        key: what its ids begin with; empty where it is alone.
        heading: its corpus.
        tiles: the figures that one asks for first.
        meaning: what they say, a sentence each.
        notes: what a reader must know.
        synthetic: nobody spoke these recordings.
        insecure: the noise was drawn from the seed.
        sections: the rest.
        promises: what each unit's guarantee says.
        command: that made it.
    """

    key: str
    heading: str
    tiles: Sequence[Tile]
    meaning: Sequence[str]
    notes: Sequence[str]
    synthetic: bool
    insecure: bool
    sections: Sequence[Section]
    promises: Mapping[str, Mapping[str, str]]
    command: str


def caption_of(text: str, command: str) -> str:
    """What a figure's files say of themselves."""
    return f"{text} Made by: {command}"
