"""What fedser's pages are filled with, and how: every value escaped, a missing name an error."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.table import Table as RichTable

from server.reporting.formatting import Measured, interval, score

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text: the first cell of a row is the row's heading, the last ``feet`` rows sum up.

    As HTML it is ``table`` of ``parts.html.j2``.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    feet: int = 0

    def markdown(self) -> str:
        """It as Markdown; its caption stands above."""
        lines = [_line(self.head), f"|{'---|' * len(self.head)}", *map(_line, self.rows)]
        return f"**{_cell(self.caption)}**\n\n" + "\n".join(lines) + "\n"

    def csv(self) -> str:
        """It as CSV, with its head."""
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows([self.head, *self.rows])
        return file.getvalue()

    def terminal(self, columns: int | None = None) -> RichTable:
        """It as Rich prints it: so many of its first columns, or all."""
        shown = RichTable(title=self.caption)
        for number, heading in enumerate(self.head[:columns]):
            shown.add_column(heading, justify="right" if number else "left")
        for row in self.rows:
            shown.add_row(*row[:columns])
        return shown


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A figure in large letters."""

    name: str
    value: str
    note: str
    main: bool = False

    @classmethod
    def of(cls, name: str, figure: Measured, *, main: bool = False) -> Tile:
        """A score, with its interval."""
        note = f"95 % CI {interval(figure)}" if figure.ci95 else "no interval"
        return cls(name=name, value=score(figure.mean), note=note, main=main)


def listing(caption: str, values: Mapping[str, str], head: tuple[str, str] = ("Setting", "Value")) -> Table:
    """Names and values, a row each."""
    return Table(caption=caption, head=head, rows=[[name, value] for name, value in values.items()])


@cache
def html(*folders: Path, **filters: Callable[..., object]) -> Environment:
    """The templates of some folders, then those of every ring, for a page; no blank lines from their logic.

    The same templates and filters are read once in a process.

    Args:
        folders: looked in first.
        filters: by the names that the templates use.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment
