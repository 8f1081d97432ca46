"""A file or folder whose path isn't UTF-8, for libraries that open a path by themselves and take nothing else."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from common.escaping import escaped


@contextlib.contextmanager
def openable(path: Path) -> Iterator[Path]:
    """Within the block, a path to what is there that is plain text: its own, or that of it once it is opened.

    Raises:
        OSError: its own is none, and it cannot be opened.
    """
    if escaped(str(path)) == str(path):
        yield path
        return
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Path(f"/dev/fd/{number}")
    finally:
        os.close(number)
