"""What a file's container says of its length, and how a file whose header is wrong is to be read.

libsndfile believes a header: of sound that is not counted there it reads nothing, and says nothing. So the header is
looked at here first, by its bytes. A file that says more than it holds was cut short. One that says less, or nothing,
is read to its end with the header mended in memory, and that is told.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from common.audio import mpeg, ogg
from common.audio.headers import Declared, Opened, declared_by
from common.audio.spliced import Piece
from common.errors import AudioError

SLACK = 64  # bytes by which careless writers get their header wrong
_HEAD = 1 << 12
_TAGS = (b"TAG", b"ID3", b"APETAGEX", b"3DI", b"LYRICSBEGIN")  # what players put behind the sound
_FLAC_TOTAL = (1 << 36) - 1


@dataclass(frozen=True, kw_only=True)
class Container:
    """How to read a file.

    Attributes:
        streams: the files that it is to be read as, one after another; empty for as it is.
        exact: whether fewer samples than libsndfile counts mean that some are missing.
        samples: how many a header says that there are, where that alone is to be held against what decodes.
        remarks: what is to be told of it; it can be used.
    """

    streams: tuple[tuple[Piece, ...], ...] = ()
    exact: bool = True
    samples: int | None = None
    remarks: tuple[AudioError, ...] = ()


def examine(path: Path) -> Container:
    """Look at a file's container.

    Raises:
        AudioError: ``truncated``.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD)
        if head.startswith(b"fLaC"):
            return _flac(head, size)
        if head.startswith(b"OggS"):
            return _ogg(file, size)
        if (first := mpeg.first_frame(head, file)) is not None:
            return _mpeg(file, first, size)
        declared = declared_by(Opened(head, file, size))
        return Container() if declared is None else _by_bytes(file, declared, size)


def _by_bytes(file: BinaryIO, declared: Declared, size: int) -> Container:
    there = max(0, size - declared.offset)
    if not declared.unknown:
        if there + SLACK < declared.size:
            raise AudioError("truncated", f"{there} of {declared.size} bytes of sound are there")
        if not _more(file, declared.offset + declared.size, size):
            return Container()
    elif not declared.field:
        return Container()
    streams: tuple[tuple[Piece, ...], ...] = (_mended(file, declared, there, size),) if declared.field else ()
    said = f"its header says that it holds {declared.size} bytes of sound, {there} are there; all are used"
    return Container(streams=streams, remarks=() if declared.unknown else (AudioError("wrong-length", said),))


def _more(file: BinaryIO, end: int, size: int) -> bool:
    """Whether sound lies behind where it should end: no chunks, no tag, no padding."""
    if size - end <= SLACK:
        return False
    file.seek(end)
    if file.read(11).startswith(_TAGS) or any(_is_chunks(file, end + pad, size) for pad in (0, 1)):
        return False
    file.seek(end)
    return any(any(block) for block in iter(lambda: file.read(1 << 20), b""))


def _is_chunks(file: BinaryIO, at: int, size: int) -> bool:
    """Whether whole chunks lie from a place to the end, of little or big numbers."""
    return any(_chain(file, at, size, order) for order in "<>")


def _chain(file: BinaryIO, at: int, size: int, order: str) -> bool:
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack(f"{order}4sI", file.read(8))
        if not all(32 <= letter < 127 for letter in name) or at + 8 + length > size + SLACK:
            return False
        at += 8 + length + length % 2
    return True


def _mended(file: BinaryIO, declared: Declared, there: int, size: int) -> tuple[Piece, ...]:
    file.seek(0)
    head = bytearray(file.read(declared.offset))
    for place, packed in declared.field:
        struct.pack_into(packed, head, place, min(there, 2 ** (8 * struct.calcsize(packed)) - 1))
    return (bytes(head), (declared.offset, size))


def _flac(head: bytes, size: int) -> Container:
    """Read to its end, whatever it says: a total of 0 is one that is not known."""
    if len(head) < 42 or head[4] & 127:
        return Container()
    packed = int.from_bytes(head[18:26])
    total = packed & _FLAC_TOTAL
    known = 0 < total < _FLAC_TOTAL
    mended = head[:18] + (packed & ~_FLAC_TOTAL).to_bytes(8)
    return Container(streams=((mended, (26, size)),), exact=False, samples=total if known else None)


def _ogg(file: BinaryIO, size: int) -> Container:
    pages = ogg.walk(file, size)
    if pages.cut:
        raise AudioError("truncated", "ends within a page of its stream")
    streams = tuple(ogg.stream_pieces(file, start, stop, last) for start, stop, last in pages.streams)
    lasts = [last for _, _, last in pages.streams]
    as_it_is = len(streams) == 1 and lasts[0].whole
    found = (
        ("unended", not all(last.ends for last in lasts), "no page of it says that it is the last"),
        ("wrong-length", not all(last.counts for last in lasts), "its last page counts fewer samples than there are"),
        ("gap", pages.gaps > 0, f"pages of its stream are missing, at {pages.gaps} places"),
    )
    remarks = tuple(AudioError(kind, f"{said}; all that decodes is used") for kind, is_so, said in found if is_so)
    return Container(streams=() if as_it_is else streams, exact=False, remarks=remarks)


def _mpeg(file: BinaryIO, first: int, size: int) -> Container:
    """Counted by its frames, where no frame of figures says how many there are."""
    stream = mpeg.count(file, first, size)
    if stream.said is not None and stream.frames <= stream.said + 1:
        return Container()
    pieces: tuple[Piece, ...] = (mpeg.figures(stream.header, stream.most), (stream.sound, size))
    remarks = []
    if stream.said is not None:
        said = f"its header says {stream.said} frames, {stream.frames} are there; all are used"
        remarks.append(AudioError("wrong-length", said))
    elif stream.cut:
        remarks.append(AudioError("unended", "ends within a frame; all that decodes is used"))
    return Container(streams=(pieces,), exact=False, remarks=tuple(remarks))
