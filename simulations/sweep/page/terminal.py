"""A table of the page for the terminal."""

from __future__ import annotations

from rich.table import Table as RichTable

from server.reporting.tables import Table


def terminal(table: Table, columns: int | None = None) -> RichTable:
    """A table as Rich prints it.

    Args:
        table: of the page.
        columns: how many of its first columns; all by default.
    """
    shown = RichTable(title=table.caption)
    for number, heading in enumerate(table.head[:columns]):
        shown.add_column(heading, justify="right" if number else "left")
    for row in table.rows:
        shown.add_row(*row[:columns])
    return shown
