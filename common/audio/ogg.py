"""Ogg's pages (RFC 3533): where its streams lie, and whether their last page is there and says so."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from common.audio.spliced import Piece

_HEADER = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4  # flags of a page
_POLYNOMIAL = 0x04C11DB7
_MOST_IN_A_PAGE = 255 * 48_000 * 120 // 1000  # samples: packets of 120 ms


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page.

    Attributes:
        start: where it begins in the file.
        stop: where it ends.
        ends: whether it says that it is the last.
        position: the samples up to its end; -1 where none ends here.
        before: the position of the page before it.
    """

    start: int
    stop: int
    ends: bool
    position: int
    before: int = 0

    @property
    def counts(self) -> bool:
        """Whether its position can be: no fewer samples than before it."""
        return self.position >= self.before

    @property
    def whole(self) -> bool:
        """Whether it is as a last page should be."""
        return self.ends and self.counts


@dataclass(frozen=True, kw_only=True)
class Pages:
    """A file's pages.

    Attributes:
        streams: one after another, each from where to where with its last page.
        cut: whether a page is not whole.
        gaps: how often pages are missing between two that are there, by their numbers.
    """

    streams: list[tuple[int, int, Page]]
    cut: bool
    gaps: int = 0


def walk(file: BinaryIO, size: int) -> Pages:
    """Go over a file's pages."""
    streams: list[tuple[int, int, Page]] = []
    numbers: dict[int, int] = {}  # of the last page, by stream; those that are multiplexed begin together
    at, gaps, first_pages = 0, 0, False
    while at < size:
        file.seek(at)
        head = file.read(_HEADER.size + 255)
        if not head.startswith(b"OggS"):
            break  # what follows is no page, such as a tag
        if len(head) < _HEADER.size or len(head) < _HEADER.size + head[26]:
            return Pages(streams=streams, cut=True)
        _, _, flags, position, serial, number, _, count = _HEADER.unpack_from(head)
        stop = at + _HEADER.size + count + sum(head[_HEADER.size : _HEADER.size + count])
        if stop > size:
            return Pages(streams=streams, cut=True)
        first = bool(flags & _FIRST)
        chained = not streams or (first and not first_pages)
        before = 0 if chained else max(streams[-1][2].position, streams[-1][2].before)
        page = Page(start=at, stop=stop, ends=bool(flags & _LAST), position=position, before=before)
        if chained:
            streams.append((at, stop, page))
        else:
            streams[-1] = (streams[-1][0], stop, page)
        gaps += not first and number > numbers.get(serial, number) + 1
        numbers[serial] = number
        at, first_pages = stop, first
    return Pages(streams=streams, cut=False, gaps=gaps)


def stream_pieces(file: BinaryIO, start: int, stop: int, last: Page) -> tuple[Piece, ...]:
    """A stream whose last page says that it is the last, and counts no fewer samples than there are."""
    if last.whole:
        return ((start, stop),)
    file.seek(last.start)
    page = bytearray(file.read(last.stop - last.start))
    page[5] |= _LAST
    if not last.counts:
        page[6:14] = struct.pack("<q", last.before + _MOST_IN_A_PAGE)
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", checksum(page))
    return ((start, last.start), bytes(page))


def checksum(page: bytes | bytearray) -> int:
    """A page's CRC of 32 bits, its own field being zero."""
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


def _entry(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = value << 1 ^ (_POLYNOMIAL if value & 0x80000000 else 0)
    return value & 0xFFFFFFFF


_TABLE = tuple(_entry(byte) for byte in range(256))
