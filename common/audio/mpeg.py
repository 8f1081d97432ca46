"""MP3's frames (ISO 11172-3, 13818-3): how many there are, which no header needs to say.

Encoders put a frame of figures before the sound (``Xing`` or ``Info``) that counts the others. Where it is missing, a
decoder guesses the length from the first frame's size, and is wrong where frames differ in size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

_RATES = ((44_100, 48_000, 32_000), (22_050, 24_000, 16_000), (11_025, 12_000, 8_000))
_KBITS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SMALLEST = 24  # bytes of a frame: 8 kbit/s at 24 kHz
_WINDOW = 1 << 20


@dataclass(frozen=True)
class Header:
    """The four bytes before a frame of layer III."""

    content: bytes

    @cached_property
    def version(self) -> int:
        """0, 1 and 2 for MPEG-1, MPEG-2 and MPEG-2.5."""
        return {3: 0, 2: 1, 0: 2}.get(self.content[1] >> 3 & 3, -1)

    @property
    def valid(self) -> bool:
        """Whether these are such bytes."""
        synced = self.content[0] == 0xFF and self.content[1] & 0xE6 == 0xE2 and self.version >= 0
        return synced and self.content[2] >> 4 not in (0, 15) and self.content[2] >> 2 & 3 != 3

    @property
    def size(self) -> int:
        """The frame's bytes, its header among them."""
        kbits = _KBITS[self.version > 0][self.content[2] >> 4]
        rate = _RATES[self.version][self.content[2] >> 2 & 3]
        return (72 if self.version else 144) * kbits * 1000 // rate + (self.content[2] >> 1 & 1)

    @property
    def side(self) -> int:
        """The bytes between the header and where a frame of figures has its name, without a checksum."""
        mono = self.content[3] >> 6 == 3
        return (9 if mono else 17) if self.version else (17 if mono else 32)

    def alike(self, other: Header) -> bool:
        """Whether another frame is of the same stream: version, layer and rate."""
        return (self.content[1] ^ other.content[1]) & 0xFE == 0 and (self.content[2] ^ other.content[2]) & 0x0C == 0


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What a file's frames say.

    Attributes:
        header: the first frame's.
        said: the frames that the frame of figures counts; None without one.
        frames: those that are there, without it.
        sound: where they begin.
        most: more frames than there can be.
        cut: whether the last is not whole.
    """

    header: Header
    said: int | None
    frames: int
    sound: int
    most: int
    cut: bool


def first_frame(head: bytes, file: BinaryIO) -> int | None:
    """Where an MP3's first frame begins, behind its tag; None where this is no MP3."""
    at = 0
    if tagged := head[:3] == b"ID3" and len(head) >= 10:
        at = _behind_tag(head)
        file.seek(at)
        head = file.read(1 << 13)
    for place in range(len(head) - 3 if tagged else 1):  # behind a tag there may be padding
        header = Header(head[place : place + 4])
        if len(header.content) == 4 and header.valid:
            following = Header(head[place + header.size : place + header.size + 4])
            if len(following.content) == 4 and following.valid and following.alike(header):
                return at + place
    return None


def _behind_tag(tag: bytes) -> int:
    size = 0
    for byte in tag[6:10]:
        size = size << 7 | byte & 127
    return 10 + size + (10 if tag[5] & 16 else 0)


def count(file: BinaryIO, first: int, size: int) -> Stream:
    """Count a stream's frames from its first to the file's end."""
    file.seek(first)
    frame = file.read(4)
    header = Header(frame)
    frame += file.read(header.size - 4)
    said = _said(header, frame)
    frames, cut = _walk(file, header, first, size)
    figured = said is not None
    return Stream(
        header=header,
        said=said,
        frames=frames - figured,
        sound=first + (header.size if figured else 0),
        most=size // _SMALLEST + 1,
        cut=cut,
    )


def _said(header: Header, frame: bytes) -> int | None:
    name = 4 + header.side + (0 if header.content[1] & 1 else 2)
    if frame[name : name + 4] not in (b"Xing", b"Info") or len(frame) < name + 12:
        return None
    flags, frames = struct.unpack_from(">II", frame, name + 4)
    return int(frames) if flags & 1 else None


def _walk(file: BinaryIO, header: Header, at: int, size: int) -> tuple[int, bool]:
    """How many frames there are, and whether the last is cut; what is no frame is passed over."""
    frames, window, start = 0, b"", at
    while at + 4 <= size:
        if at + 4 > start + len(window):
            file.seek(at)
            window, start = file.read(_WINDOW), at
        found = Header(window[at - start : at - start + 4])
        if not (found.valid and found.alike(header)):
            following = window.find(b"\xff", at - start + 1)
            at = start + (following if following >= 0 else len(window))
            continue
        if at + found.size > size:
            return frames, True
        frames, at = frames + 1, at + found.size
    return frames, False


def figures(header: Header, frames: int) -> bytes:
    """A frame of figures that says how many frames follow, for a stream of such frames."""
    plain = bytearray(header.content)
    plain[1] |= 1  # no checksum
    plain[2] = plain[2] & 0x0D | 0x90  # 128 or 80 kbit/s, which hold it at any rate
    made = Header(bytes(plain))
    content = made.content + bytes(made.side) + b"Info" + struct.pack(">II", 1, frames)
    return content.ljust(made.size, b"\0")
