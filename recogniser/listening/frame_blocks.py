"""Frames of a sound that comes in chunks: the whole sound's, however it is cut.

A frame depends on some frames before it and behind it. So blocks of frames are computed, always as many at once, each
from the sound under them and their neighbours; what a chunk leaves over waits for the next.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recogniser.listening.exported_model import ExportedModel, Frames

Signal = npt.NDArray[np.float32]


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
