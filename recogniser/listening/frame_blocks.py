"""Frames of a sound that comes in chunks: the whole sound's, however it is cut.

A frame depends on some frames before it and behind it. So frames are computed from the sound under them and their
neighbours: in blocks, always as many at once, or where they are wanted, of many streams together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recogniser.listening.exported_model import ExportedModel, Frames

Signal = npt.NDArray[np.float32]

_SLACK = 10  # frames of sound that are kept for longer than they need be, so that less is copied
_MOST = 500  # frames that are computed at once of one sound
_TOGETHER = 1000  # and of several: more would not stay in a core's cache


class FrameBlocks:
    """One stream's frames.

    Args:
        model: computes them.
        block: frames that are computed at once: the longest that one waits for its neighbours, but for ``model.right``.
    """

    def __init__(self, model: ExportedModel, block: int) -> None:
        self._model, self._block = model, block
        self._sound = np.zeros(0, np.float32)
        self._first = 0  # the frame that lies on the first sample that is kept
        self._done = 0  # frames

    def feed(self, sound: Signal) -> Frames:
        """The frames ``(frames, columns)`` that are known, once these samples ``(samples,)`` have come in."""
        self._sound = np.concatenate([self._sound, sound])
        found = []
        while len(self._sound) >= self._samples(self._done + self._block + self._model.right - 1):
            found.append(self._compute(self._done + self._block))
        return self._joined(found)

    def end(self) -> Frames:
        """The last frames; nothing follows."""
        if not len(self._sound):
            return self._joined([])
        return self._compute(self._first + 1 + len(self._sound) // self._model.hop, last=True)

    def _samples(self, frame: int) -> int:
        """From the first sample that is kept to where a frame lies."""
        return (frame - self._first) * self._model.hop

    def _compute(self, until: int, *, last: bool = False) -> Frames:
        sound = self._sound if last else self._sound[: self._samples(until + self._model.right - 1)]
        frames = self._model.frames(sound)[self._done - self._first : until - self._first]
        kept = max(0, until - self._model.left)
        self._sound = self._sound[self._samples(kept) :]
        self._first, self._done = kept, until
        return frames

    def _joined(self, parts: list[Frames]) -> Frames:
        return np.concatenate([np.zeros((0, len(self._model.layout.columns)), np.float32), *parts])


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSpan:
    """Frames that are to be computed.

    Attributes:
        sound: they lie in it, and what they depend on ``(samples,)``.
        skip: frames of it before them.
        count: how many they are.
        whole: whether the sound ends with it, so that nothing may be put behind it.
        segment: the first frame of what they are of.
    """

    sound: Signal
    skip: int
    count: int
    whole: bool
    segment: int


class SoundOfFrames:
    """One stream's sound and the frames of its segments, as far back as they will be wanted.

    Args:
        model: computes them.
    """

    def __init__(self, model: ExportedModel) -> None:
        self._hop, self._left, self._right = model.hop, model.left, model.right
        self._parts: list[Signal] = []
        self._length = 0  # samples that are kept, in all parts
        self._first = 0  # the frame that lies on the first of them
        self._known: dict[int, Frames] = {}  # of each segment's first frame, the frames from it on
        self._ended = False

    def feed(self, sound: Signal) -> None:
        """Take in the next samples ``(samples,)``."""
        self._parts.append(sound)
        self._length += len(sound)

    def _joined(self) -> Signal:
        if len(self._parts) != 1:
            self._parts = [np.concatenate([np.zeros(0, np.float32), *self._parts])]
        return self._parts[0]

    def end(self) -> None:
        """Nothing follows."""
        self._ended = True

    def reaches(self, until: int) -> bool:
        """Whether the frames before this one can be computed."""
        return self._ended or self._samples(until) <= self._length

    def spans(self, segment: int, until: int) -> Iterator[FrameSpan]:
        """What has to be computed, some at a time, to know a segment, by its first frame, up to another."""
        for first in range(self._next(segment), until, _MOST):
            yield self._span(first, min(first + _MOST, until), segment)

    def add(self, span: FrameSpan, frames: Frames) -> None:
        """Take in what was computed."""
        before = self._known.get(span.segment)
        self._known[span.segment] = frames if before is None else np.concatenate([before, frames])

    def frames(self, segment: int, start: int, until: int) -> Frames:
        """Frames of a segment that are known."""
        return self._known[segment][start - segment : until - segment].copy()

    def _next(self, segment: int) -> int:
        known = self._known.get(segment)
        return segment + (0 if known is None else len(known))

    def _span(self, start: int, until: int, segment: int) -> FrameSpan:
        kept = max(self._first, start - self._left)
        whole = self._samples(until) > self._length
        sound = self._joined()[(kept - self._first) * self._hop : None if whole else self._samples(until)]
        return FrameSpan(sound=sound, skip=start - kept, count=until - start, whole=whole, segment=segment)

    def _samples(self, until: int) -> int:
        """From the first sample that is kept to where what the frames before this one depend on ends."""
        return (until + self._right - 1 - self._first) * self._hop

    def forget(self, segments: Set[int]) -> None:
        """Keep nothing but what of these segments, by their first frames, may be wanted."""
        if not self._known.keys() <= segments:
            self._known = {first: own for first, own in self._known.items() if first in segments}
        if (kept := min(map(self._next, segments)) - self._left) > self._first + _SLACK:
            self._parts = [self._joined()[(kept - self._first) * self._hop :]]
            self._length, self._first = len(self._parts[0]), kept


def frames_together(model: ExportedModel, spans: Sequence[FrameSpan]) -> list[Frames]:
    """The frames ``(count, columns)`` of some spans, each as if it were alone."""
    found: dict[int, Frames] = {}
    for places in _groups(model, spans):
        longest = max(len(spans[place].sound) for place in places)
        sounds = np.zeros((len(places), longest), np.float32)
        for own, place in zip(sounds, places, strict=True):
            own[: len(spans[place].sound)] = spans[place].sound
        for frames, place in zip(model.frames_of(sounds), places, strict=True):
            skip = spans[place].skip
            found[place] = frames[skip : skip + spans[place].count]
    return [found[place] for place in range(len(spans))]


def _groups(model: ExportedModel, spans: Sequence[FrameSpan]) -> Iterator[list[int]]:
    """Those of about a length go together; one at whose end the sound ends is alone."""
    group: list[int] = []
    for place in sorted(range(len(spans)), key=lambda place: len(spans[place].sound)):
        longest = len(spans[place].sound) // model.hop
        if spans[place].whole:
            yield [place]
            continue
        if group and (len(group) + 1) * longest > _TOGETHER:
            yield group
            group = []
        group.append(place)
    if group:
        yield group
