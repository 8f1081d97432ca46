"""Ogg's pages (RFC 3533): where its streams lie, and whether their last page is there and says so."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from common.audio.spliced import Piece

_HEADER = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 2, 4  # flags of a page
_POLYNOMIAL = 0x04C11DB7


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: where it lies, and whether it ends its stream."""

    start: int
    stop: int
    ends: bool


@dataclass(frozen=True, kw_only=True)
class Pages:
    """The streams one after another, each from where to where with its last page; ``cut`` where a page is not whole."""

    streams: list[tuple[int, int, Page]]
    cut: bool


def walk(file: BinaryIO, size: int) -> Pages:
    """Go over a file's pages."""
    streams: list[tuple[int, int, Page]] = []
    at, first_pages = 0, False  # streams that are multiplexed begin together
    while at < size:
        file.seek(at)
        head = file.read(_HEADER.size + 255)
        if not head.startswith(b"OggS"):
            break  # what follows is no page, such as a tag
        if len(head) < _HEADER.size or len(head) < _HEADER.size + head[26]:
            return Pages(streams=streams, cut=True)
        flags, laces = head[5], head[_HEADER.size : _HEADER.size + head[26]]
        stop = at + _HEADER.size + len(laces) + sum(laces)
        if stop > size:
            return Pages(streams=streams, cut=True)
        page, first = Page(start=at, stop=stop, ends=bool(flags & _LAST)), bool(flags & _FIRST)
        if not streams or (first and not first_pages):
            streams.append((at, stop, page))
        else:
            streams[-1] = (streams[-1][0], stop, page)
        at, first_pages = stop, first
    return Pages(streams=streams, cut=False)


def stream_pieces(file: BinaryIO, start: int, stop: int, last: Page) -> tuple[Piece, ...]:
    """A stream whose last page says that it is the last."""
    if last.ends:
        return ((start, stop),)
    file.seek(last.start)
    page = bytearray(file.read(last.stop - last.start))
    page[5] |= _LAST
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
