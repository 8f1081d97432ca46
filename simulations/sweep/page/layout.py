"""What the page is made of: chapters and their sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.reporting.drawing import Illustration
from server.reporting.pages import Table, Tile


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
