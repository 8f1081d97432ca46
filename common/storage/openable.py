"""A file whose path isn't UTF-8, for libraries that open a path by themselves and take nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from common.escaping import escaped


@contextlib.contextmanager
def openable(path: Path) -> Iterator[Path]:
    """Within the block, a path to the file that is plain text: its own, or that of the opened file.

    Raises:
        OSError: its own is none, and it cannot be opened.
    """
    if escaped(str(path)) == str(path):
        yield path
        return
    with path.open("rb") as file:
        yield Path(f"/dev/fd/{file.fileno()}")
