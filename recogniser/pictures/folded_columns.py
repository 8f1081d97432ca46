"""Columns of a picture whose width nobody knows yet: as they grow too many, each two become one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.float32]  # (columns, values)

MOST = 2048  # columns after folding; up to twice as many before


class FoldedColumns:
    """A table that takes rows without end and holds ``2 * MOST`` at most.

    Args:
        fold: what makes one row of several, over an axis: ``np.max``, ``np.mean``.
        values: in a row.
        span: rows that make a column at first.
    """

    def __init__(self, fold: Callable[..., Table], values: int, span: int = 1) -> None:
        self._fold, self.span = fold, span
        self._columns = np.zeros((2 * MOST, values), np.float32)
        self._rest = np.zeros((0, values), np.float32)
        self._count = 0

    def add(self, rows: Table) -> bool:
        """Take the next rows ``(rows, values)``; returns whether a column spans more of them now."""
        rows, before = np.concatenate([self._rest, rows]), self.span
        while len(rows) >= self.span:
            whole = min(len(rows) // self.span, 2 * MOST - self._count)
            taken, rows = rows[: whole * self.span], rows[whole * self.span :]
            self._columns[self._count : self._count + whole] = self._fold(taken.reshape(whole, self.span, -1), axis=1)
            self._count += whole
            if self._count == 2 * MOST:
                self._halve()
        self._rest = rows
        return self.span != before

    @property
    def room(self) -> int:
        """Rows until columns are folded."""
        return (2 * MOST - self._count) * self.span - len(self._rest)

    @property
    def columns(self) -> Table:
        """All so far, ``(columns, values)``; the last is of the rows that are there."""
        last = self._fold(self._rest[None], axis=1) if len(self._rest) else self._rest
        return np.concatenate([self._columns[: self._count], last])

    def _halve(self) -> None:
        self._columns[:MOST] = self._fold(self._columns.reshape(MOST, 2, -1), axis=1)
        self._count, self.span = MOST, 2 * self.span
