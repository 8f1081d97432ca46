"""How many bytes of sound a header says that there are: WAV and its kin, AIFF, CAF, W64, AU, NIST."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

STREAMED = 2**31 - 2**16  # and above: a header of 32 bits written before the length was known
_NIST = re.compile(rb"(sample_count|channel_count|sample_n_bytes) -i (\d+)")


@dataclass(frozen=True)
class Opened:
    """A file with its first bytes and its length."""

    head: bytes
    file: BinaryIO
    size: int


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The bytes of sound that a header declares.

    Attributes:
        size: how many.
        offset: where the sound begins.
        field: where the header says it, and how it is packed; empty where libsndfile goes by the file's end anyway.
        unknown: the size stands for one that was not known when the header was written.
    """

    size: int
    offset: int
    field: tuple[tuple[int, str], ...] = ()
    unknown: bool = False


def declared_by(opened: Opened) -> Declared | None:
    """What the header declares; None where it is of no kind that is known here."""
    return next((found for reader in _READERS if (found := reader(opened))), None)


def _riff(opened: Opened) -> Declared | None:
    kind = opened.head[:4]
    if kind not in (b"RIFF", b"RIFX", b"RF64") or opened.head[8:12] != b"WAVE":
        return None
    order = ">" if kind == b"RIFX" else "<"
    found = _find_chunk(opened, b"data", 12, f"{order}4sI", even=True)
    if found is None:
        return None
    at, length = found
    if length == 2**32 - 1 and opened.head[12:16] == b"ds64":
        (long,) = struct.unpack_from("<Q", opened.head, 28)
        return Declared(size=long, offset=at + 8, field=((28, "<Q"),), unknown=long == 2**64 - 1)
    unknown = length >= STREAMED
    return Declared(size=length, offset=at + 8, field=() if unknown else ((at + 4, f"{order}I"),), unknown=unknown)


def _aiff(opened: Opened) -> Declared | None:
    if opened.head[:4] != b"FORM" or opened.head[8:12] not in (b"AIFF", b"AIFC"):
        return None
    found = _find_chunk(opened, b"SSND", 12, ">4sI", even=True)
    if found is None:
        return None
    at, length = found
    unknown = length >= STREAMED
    return Declared(size=length, offset=at + 8, field=() if unknown else ((at + 4, ">I"),), unknown=unknown)


def _caf(opened: Opened) -> Declared | None:
    if opened.head[:4] != b"caff":
        return None
    found = _find_chunk(opened, b"data", 8, ">4sQ", even=False)
    if found is None:
        return None
    at, length = found  # its first four bytes count edits
    return Declared(size=length, offset=at + 12, field=((at + 4, ">Q"),), unknown=length == 2**64 - 1)


def _find_chunk(opened: Opened, name: bytes, at: int, packed: str, *, even: bool) -> tuple[int, int] | None:
    """Where a chunk begins, and how long it says it is."""
    width = struct.calcsize(packed)
    while at + width <= opened.size:
        opened.file.seek(at)
        found, length = struct.unpack(packed, opened.file.read(width))
        if found == name:
            return at, length
        at += width + length + (length % 2 if even else 0)
    return None


def _w64(opened: Opened) -> Declared | None:
    if opened.head[:4] != b"riff" or opened.head[24:28] != b"wave":
        return None
    at = 40
    while at + 24 <= opened.size:
        opened.file.seek(at)
        name, length = struct.unpack("<16sQ", opened.file.read(24))
        if name[:4] == b"data":
            return Declared(size=max(0, length - 24), offset=at + 24, unknown=length <= 24 or length >= 2**62)
        at += max(24, length + -length % 8)
    return None


def _au(opened: Opened) -> Declared | None:
    order = {b".snd": ">", b"dns.": "<"}.get(opened.head[:4])
    if order is None or len(opened.head) < 24:
        return None
    offset, length = struct.unpack_from(f"{order}II", opened.head, 4)
    unknown = length >= STREAMED
    return Declared(size=length, offset=offset, field=() if unknown else ((8, f"{order}I"),), unknown=unknown)


def _nist(opened: Opened) -> Declared | None:
    if not opened.head.startswith(b"NIST_1A"):
        return None
    told = {name: int(value) for name, value in _NIST.findall(opened.head[:1024])}
    count, offset = told.get(b"sample_count", 0), opened.head[8:16].strip()
    length = count * told.get(b"channel_count", 1) * told.get(b"sample_n_bytes", 1)
    compressed = b"shorten" in opened.head[:1024]
    return Declared(size=length, offset=int(offset) if offset.isdigit() else 1024, unknown=compressed or not count)


_READERS: Sequence[Callable[[Opened], Declared | None]] = (_riff, _aiff, _caf, _w64, _au, _nist)
