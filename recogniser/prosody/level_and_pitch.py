"""A channel's level, F0 and voicing by frame, kept small: an hour takes 2 MB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.float32 | np.float16]  # (frames,)
Table = npt.NDArray[np.float32]  # (frames, columns)

_KEPT = ("energy", "f0", "voicing")


class LevelAndPitch:
    """What prosody needs of a channel's frames, as they come.

    Args:
        columns: the names of a frame's columns, such as ``energy@25``; those with a window's name count by their first.
        hop: seconds from frame to frame.
    """

    def __init__(self, columns: Sequence[str], hop: float) -> None:
        names = [name.partition("@")[0] for name in columns]
        self._places = {name: names.index(name) for name in _KEPT if name in names}
        self._blocks: dict[str, list[npt.NDArray[np.float16]]] = {name: [] for name in self._places}
        self.hop = hop
        self.frames = 0

    def add(self, frames: Table) -> None:
        """Keep the next frames ``(frames, columns)``: not stacked, not scaled, F0 0 where unvoiced."""
        for name, place in self._places.items():
            self._blocks[name].append(frames[:, place].astype(np.float16))  # to 0.06 dB, 0.02 semitones
        self.frames += len(frames)

    @property
    def level(self) -> Column | None:
        """In dB of full scale, ``(frames,)``; None where the model has no such column."""
        return self._whole("energy")

    @property
    def semitones(self) -> Column | None:
        """F0 over 60 Hz in semitones, 0 where unvoiced, ``(frames,)``; None where the model has no such column."""
        track = self._whole("f0")
        return None if track is None else track * np.float16(12 / np.log(2))

    @property
    def voicing(self) -> Column | None:
        """The periodic share of the energy, ``(frames,)``; None where the model has no such column."""
        return self._whole("voicing")

    def _whole(self, name: str) -> Column | None:
        if name not in self._places:
            return None
        return np.concatenate([np.zeros(0, np.float16), *self._blocks[name]])
