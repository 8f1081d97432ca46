"""A recording in blocks: hours of it in little memory, and what is wrong with it once it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from common.audio.containers import Container, examine
from common.audio.decoding import SoundStream, following, open_stream, read_block, refuse_cut_short
from common.audio.reading import LOUDEST
from common.errors import AudioError

Block = npt.NDArray[np.float32]  # (samples, channels)

SECONDS = 10.0  # of a block
_STEP = 0.25  # seconds that are decoded at once: what is lost where a file breaks off


@dataclass(kw_only=True)
class FileBlocks:
    """A file that is read once, from its beginning to its end or to where it breaks off.

    Attributes:
        path: of the file.
        rate: in Hz; 0 where it cannot be read.
        channels: how many; 0 where it cannot be read.
        samples: of a channel, read so far.
        problems: found so far; what decodes is given all the same.
    """

    path: Path
    rate: int = 0
    channels: int = 0
    samples: int = 0
    problems: list[AudioError] = field(default_factory=list)
    _broken: int = field(default=0, init=False)  # samples that are no finite numbers
    _first_broken: int = field(default=0, init=False)
    _peak: float = field(default=0.0, init=False)

    def __iter__(self) -> Iterator[Block]:
        """Each block float32 of shape ``(samples, channels)``, with 0 where it is no finite number."""
        try:
            yield from self._blocks(self._examined())
        except AudioError as error:
            self.problems.append(error)
        except (soundfile.LibsndfileError, OSError, RuntimeError, TypeError) as error:
            said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or type(error).__name__
            self.problems.append(AudioError("unreadable", f"not readable as audio ({str(said).strip().rstrip('.')})"))
        self._judge()

    def _examined(self) -> Container:
        try:
            container = examine(self.path)
        except AudioError as error:  # cut short: what is there is read all the same
            self.problems.append(error)
            return Container(exact=False)
        self.problems += container.remarks
        return container

    def _blocks(self, container: Container) -> Iterator[Block]:
        first, *others = container.streams or (None,)
        with open_stream(self.path, first) as file:
            self.rate, self.channels = int(file.samplerate), int(file.channels)
            self._note_cut_short(file)
            expected = len(file) if container.exact and not others else container.samples
            yield from self._read(file)
            for stream in following(self.path, others, file):
                yield from self._read(stream)
        if expected is not None and self.samples < expected < 2**62:
            self._add(AudioError("truncated", f"{self.samples} of {expected} samples are there"))

    def _read(self, stream: SoundStream) -> Iterator[Block]:
        size = math.ceil(_STEP * self.rate)
        parts: list[Block] = []
        try:
            while len(frames := read_block(stream, size, self.samples)):
                parts.append(self._finite(frames))
                if len(frames) < size:
                    break
                if len(parts) * _STEP >= SECONDS:
                    yield np.concatenate(parts)
                    parts = []
        except AudioError as error:  # it breaks off: what came before is read
            self._add(error)
        if parts:
            yield np.concatenate(parts)

    def _finite(self, frames: Block) -> Block:
        finite = np.isfinite(frames)
        if not finite.all():
            if not self._broken:
                self._first_broken = self.samples + int(np.flatnonzero(~finite.all(axis=1))[0])
            self._broken += int(finite.size - np.count_nonzero(finite))
            frames = np.where(finite, frames, np.float32(0))
        self.samples += len(frames)
        self._peak = max(self._peak, float(frames.max()), -float(frames.min()))
        return frames

    def _note_cut_short(self, file: SoundStream) -> None:
        try:
            refuse_cut_short(file.extra_info)
        except AudioError as error:
            self._add(error)

    def _judge(self) -> None:
        if not self.samples and not self.problems:
            self.problems.append(AudioError("short", "holds no samples"))
        if self._broken:
            at = self._first_broken / self.rate
            said = f"{self._broken} samples are no finite numbers, the first at {at:.3f} s; taken for silence"
            self.problems.append(AudioError("non-finite", said))
        if self._peak > LOUDEST:
            said = f"the loudest sample is {self._peak:.3g} times full scale: sound lies from -1 to 1; scale it"
            self.problems.append(AudioError("beyond-full-scale", said))

    def _add(self, error: AudioError) -> None:
        if all(each.kind != error.kind for each in self.problems):
            self.problems.append(error)
