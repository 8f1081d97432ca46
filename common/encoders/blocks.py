"""A long sound through an encoder in overlapping blocks, so that it takes no more memory than one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """How a sound is cut. Blocks overlap by a fifth; of an overlap each of the two gives the half that is nearer to it.

    A sound of one block or less goes in one piece. A frame's number says when it is whatever block it comes from, and
    there are as many frames as of the whole sound in one piece.

    Attributes:
        samples: of a unit, the grid on which blocks begin.
        frames: that an encoder gives for a unit.
        units: of a block.
    """

    samples: int
    frames: int
    units: int

    def encode(self, signal: torch.Tensor, encode: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Encode a sound block by block.

        Args:
            signal: ``(samples,)``.
            encode: of a block's samples ``(layers, frames, width)``.

        Returns:
            ``(layers, frames, width)``.
        """
        overlap = self.units // 5
        step, half = self.units - overlap, overlap * self.frames // 2
        beyond = max(0, len(signal) - self.units * self.samples)  # the first block
        last = -(-beyond // (step * self.samples))
        kept = []
        for number in range(last + 1):
            first = number * step * self.samples
            made = encode(signal[first : first + self.units * self.samples])
            kept.append(made[:, half if number else 0 : None if number == last else step * self.frames + half])
        return torch.cat(kept, dim=1)
