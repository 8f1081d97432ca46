"""Signals laid one after another on a single grid of frames, so that a batch is cut and analysed as one signal.

Between two signals lies silence, long enough that no window reaches from one into the next: what is computed for a
signal cannot depend on its neighbours, and no work goes into padding to the longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where each signal of a batch lies.

    Frame ``t`` of the grid is centred on sample ``t * hop``, and a signal's first frame on its first sample, as with
    librosa's ``center=True``: a signal has ``1 + samples // hop`` frames.

    Attributes:
        lengths: the signals' samples.
        hop: the samples from one frame to the next.
        gap: the frames of silence before, between and after the signals; ``gap * hop`` samples hold the longest window.
    """

    lengths: tuple[int, ...]
    hop: int
    gap: int

    @property
    def counts(self) -> list[int]:
        """Each signal's frames."""
        return [1 + length // self.hop for length in self.lengths]

    @property
    def firsts(self) -> list[int]:
        """The frame at which each signal begins."""
        return list(accumulate((count + self.gap for count in self.counts[:-1]), initial=self.gap))

    @property
    def frames(self) -> int:
        """All frames, those of the gaps included."""
        return sum(self.counts) + self.gap * (len(self.lengths) + 1)

    @property
    def margin(self) -> int:
        """The zeros before frame 0 and after the last, so that every frame's window lies inside the sound."""
        return self.gap * self.hop

    def lay(self, signals: Sequence[torch.Tensor]) -> torch.Tensor:
        """The signals in their places, ``(samples,)`` with the margins, all else zero."""
        sound = torch.zeros(self.frames * self.hop + 2 * self.margin)
        for first, signal in zip(self.firsts, signals, strict=True):
            start = self.margin + first * self.hop
            sound[start : start + len(signal)] = signal
        return sound

    def stretch(self, sound: torch.Tensor, low: int, high: int, size: int) -> torch.Tensor:
        """The samples under the windows of ``size`` samples that are centred on the frames ``low`` to ``high - 1``.

        ``sound`` is what ``lay`` returned; frame ``low + i`` is then ``stretch[i * hop : i * hop + size]``.
        """
        start = self.margin + low * self.hop - size // 2
        return sound[start : start + (high - low - 1) * self.hop + size]

    def cut(self, table: torch.Tensor) -> list[torch.Tensor]:
        """Each signal's rows of a table ``(frames, …)``, as views."""
        return [table[first : first + count] for first, count in zip(self.firsts, self.counts, strict=True)]
