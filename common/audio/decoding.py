"""Decoding: what of a recording can be heard, judged by what decodes and not by what its header says."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from common.audio.containers import SLACK, Container, examine
from common.audio.headers import STREAMED
from common.audio.spliced import Piece, Spliced
from common.errors import AudioError

Signal = npt.NDArray[np.float32]
Pieces = tuple[Piece, ...] | None  # None for a file as it is

BEYOND = 0.1  # seconds by which a stretch may end after its file does, as labels of whole video frames do
SILENCE = 1e-4  # peak amplitude (-80 dB of full scale) below which nothing can be heard
_BLOCK = 1 << 18  # samples a channel decoded at once, so that a long file of many channels takes little memory

# In libsndfile's log of a header: the bytes of sound that it declares, and those that are in the file. libsndfile goes
# by the latter, so that a recording cut short would read as a shorter one.
_CUT_SHORT = re.compile(r"(?:data|SSND|BODY|Data Size)\s*: (\d+) \(should be (\d+)\)")


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A recording, or a stretch of it, as one channel.

    Attributes:
        signal: float32 of shape ``(samples,)``.
        rate: its sampling rate in Hz.
        remarks: what is to be told of its file; it can be used.
        more: whether the recording goes on behind it, where it was asked for up to so many seconds.
    """

    signal: Signal
    rate: int
    remarks: tuple[AudioError, ...] = ()
    more: bool = False


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What of a file is asked for, in seconds; a channel counted from 0, None for the mean of all."""

    start: float | None = None
    end: float | None = None
    channel: int | None = None
    most: float | None = None

    @property
    def whole(self) -> bool:
        """Whether it is from the file's beginning to its end."""
        return self.start is None and self.end is None

    def refuse(self, samples: int, rate: int) -> AudioError:
        """What to say where the file has so many samples, and these are not among them."""
        wanted = f"from {self.start} s on" if self.end is None else f"{self.start or 0} to {self.end} s"
        return AudioError("truncated", f"{samples / rate:.2f} s long, not {wanted}")


class SoundStream(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read on: soundfile seeks after each read, which some formats cannot do at all."""

    def seekable(self) -> bool:
        """That it is not, whatever the file."""
        return False

    def go_to(self, sample: int) -> bool:
        """Go to a sample, where that can be done."""
        if not super().seekable() or sample > len(self):
            return False
        self.seek(sample)
        return True


def decode(
    path: Path,
    start: float | None = None,
    end: float | None = None,
    channel: int | None = None,
    *,
    most: float | None = None,
) -> Sound:
    """Decode a recording, or a stretch of it.

    Args:
        path: a file in any format that soundfile reads.
        start: where the stretch begins, in seconds; None for the file's beginning.
        end: where it ends, in seconds; None for the file's end.
        channel: the one to take, counted from 0; None for the mean of all.
        most: seconds after which decoding stops; None for all.

    Raises:
        AudioError: ``unreadable``, ``truncated``, ``short`` where there is no sample at all, or ``silent`` where its
            channels cancel each other.
    """
    asked = Stretch(start=start, end=end, channel=channel, most=most)
    try:
        container = examine(path)
        if not asked.whole and container.samples is not None:  # its header tells where to look for a stretch
            container = Container()
        sound = _decode(path, container, asked)
    except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError) as error:  # TypeError: a file without header
        raise AudioError("unreadable", f"not readable as audio ({_reason(error)})") from None
    return sound


def _decode(path: Path, container: Container, asked: Stretch) -> Sound:
    first_of, *others = container.streams or (None,)
    with open_stream(path, first_of) as file:
        rate, channels = int(file.samplerate), int(file.channels)
        refuse_cut_short(file.extra_info)
        if asked.channel is not None and asked.channel >= channels:
            raise AudioError("unreadable", f"no channel {asked.channel}: it has {channels}, counted from 0")
        first = round((asked.start or 0) * rate)
        last = None if asked.end is None else round(asked.end * rate)
        if container.exact:
            last = _inside(asked, first, len(file) if last is None else last, len(file), rate)
        until = last if asked.most is None else _capped(first + math.ceil(asked.most * rate), last)
        signal = _joined(list(_blocks(file, following(path, others, file), first, until, asked.channel)))
    more = until is not None and until != last and len(signal) == until - first
    if not more:
        _refuse_missing(asked, container, len(signal), first, last, rate)
    if channels > 1 and asked.channel is None and len(signal) and _inaudible(signal):
        _refuse_cancelled(path, asked, channels)
    return Sound(
        signal=signal[:-1] if more else signal,
        rate=rate,
        remarks=(*container.remarks, *([] if more else _miscounted(container, len(signal)))),
        more=more,
    )


@contextlib.contextmanager
def open_stream(path: Path, pieces: Pieces) -> Iterator[SoundStream]:
    """A stream of a file within the block: the file as it is, or pieces of it.

    Raises:
        soundfile.LibsndfileError, OSError: it cannot be read.
    """
    if pieces is None:
        with SoundStream(os.fsencode(path)) as file:
            yield file
        return
    with Spliced(path, pieces) as spliced, SoundStream(spliced) as file:
        yield file


def following(path: Path, others: Sequence[Pieces], first: SoundStream) -> Iterator[SoundStream]:
    """The streams that follow, one after another.

    Raises:
        AudioError: one has another rate or other channels than the first.
    """
    for pieces in others:
        with open_stream(path, pieces) as file:
            if (file.samplerate, file.channels) != (first.samplerate, first.channels):
                raise AudioError("unreadable", "its streams differ in rate or channels; cut it into one file each")
            yield file


def refuse_cut_short(header: str) -> None:
    """Refuse a file that holds less than its header says, as libsndfile's log of that has it.

    Raises:
        AudioError: ``truncated``.
    """
    found = _CUT_SHORT.search(header)
    if found and int(found[2]) + SLACK < int(found[1]) < STREAMED:
        raise AudioError("truncated", f"{found[2]} of {found[1]} bytes of sound are there")


def _inside(asked: Stretch, first: int, last: int, samples: int, rate: int) -> int:
    """Where a stretch ends in a file that holds so many samples."""
    if asked.whole and not samples:
        raise AudioError("short", "holds no samples")
    if not 0 <= first < min(last, samples) or last > samples + BEYOND * rate:
        raise asked.refuse(samples, rate)
    return min(last, samples)


def _capped(cap: int, last: int | None) -> int:
    """Where to stop: a sample beyond the most, which shows that there is more."""
    return cap + 1 if last is None else min(cap + 1, last)


def _blocks(
    file: SoundStream, others: Iterator[SoundStream], first: int, until: int | None, channel: int | None
) -> Iterator[Signal]:
    """The samples from the first on, block by block, as one channel."""
    at = first if first and file.go_to(first) else 0
    for stream in itertools.chain([file], others):
        while until is None or at < until:
            size = _BLOCK if until is None else min(_BLOCK, until - at)
            frames = read_block(stream, size, at)
            kept = frames[max(0, first - at) :]
            if len(kept):
                yield kept.mean(axis=1) if channel is None else kept[:, channel]
            at += len(frames)
            if len(frames) < size:
                break


def read_block(stream: SoundStream, size: int, at: int) -> npt.NDArray[np.float32]:
    """The next so many samples ``(samples, channels)`` of a stream, fewer at its end, where ``at`` were read before.

    Raises:
        AudioError: ``truncated``.
    """
    try:
        frames: npt.NDArray[np.float32] = stream.read(size, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            "truncated", f"decoding breaks off after {at / stream.samplerate:.2f} s ({_reason(error)})"
        ) from None
    return frames


def _joined(blocks: Sequence[Signal]) -> Signal:
    if not blocks:
        return np.zeros(0, np.float32)
    return np.ascontiguousarray(blocks[0] if len(blocks) == 1 else np.concatenate(blocks))


def _refuse_missing(asked: Stretch, container: Container, found: int, first: int, last: int | None, rate: int) -> None:
    """Refuse what decodes to less than there should be."""
    if asked.whole and not found:
        raise AudioError("short", "holds no samples")
    if container.exact and last is not None and found < last - first:
        raise AudioError("truncated", f"{found} of {last - first} samples are there")
    if container.samples is not None and found < container.samples:
        raise AudioError("truncated", f"{found} of {container.samples} samples are there")
    if not asked.whole and (not found or (last is not None and first + found + BEYOND * rate < last)):
        raise asked.refuse(first + found, rate)


def _miscounted(container: Container, found: int) -> list[AudioError]:
    if container.samples is None or found == container.samples:
        return []
    said = f"its header says {container.samples} samples, {found} are there; all are used"
    return [AudioError("wrong-length", said)]


def _inaudible(signal: Signal) -> bool:
    return bool(max(signal.max(), -signal.min()) < SILENCE)


def _refuse_cancelled(path: Path, asked: Stretch, channels: int) -> None:
    alone = decode(path, asked.start, asked.end, 0, most=asked.most).signal
    if not _inaudible(alone):
        raise AudioError("silent", f"its {channels} channels cancel each other; a manifest's column channel takes one")


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or type(error).__name__
    return str(text).strip().rstrip(".")
