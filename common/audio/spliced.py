"""A file as libsndfile is to see it: stretches of one on disk, with a header mended or set before them."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

Piece = bytes | tuple[int, int]  # bytes of one's own, or from where to where in the file


class Spliced(io.RawIOBase):
    """A readable, seekable file of pieces, of which none but one's own bytes is held in memory.

    Args:
        path: the file.
        pieces: in their order.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        self._file: BinaryIO = path.open("rb")
        self._pieces = tuple(pieces)
        lengths = (len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in self._pieces)
        self._starts = list(accumulate(lengths, initial=0))  # of each piece, and the end
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def tell(self) -> int:
        """Where it is."""
        return self._at

    def readinto(self, buffer: object) -> int:
        """Fill a buffer as far as there is something to read."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        done = 0
        while done < len(view) and (part := self._read(len(view) - done)):
            view[done : done + len(part)] = part
            done += len(part)
            self._at += len(part)
        return done

    def _read(self, size: int) -> bytes:
        """What comes next, of one piece alone; nothing at the end."""
        for piece, start, stop in zip(self._pieces, self._starts, self._starts[1:], strict=False):
            if start <= self._at < stop:
                inside, size = self._at - start, min(size, stop - self._at)
                if isinstance(piece, bytes):
                    return piece[inside : inside + size]
                self._file.seek(piece[0] + inside)
                return self._file.read(size)
        return b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()
