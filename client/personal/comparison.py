"""Two models on the same recordings of a site: the run's, ``global``, and the site's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from common.learning.metrics import RESAMPLES, Confusion, Floats, percentile_interval, uar, wa
from common.seeds import numpy_generator

LEAST = 5  # recordings: of fewer no interval is told


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What both take the same recordings for.

    Attributes:
        before: the counts ``(classes, classes)`` of the run's model.
        after: of the site's own.
        won: how many recordings the site's own is right about, and the run's is not.
        lost: how many the other way round.
    """

    before: Confusion
    after: Confusion
    won: int
    lost: int

    @classmethod
    def of(cls, before: Tensor, after: Tensor, labels: Tensor) -> Comparison:
        """That of two models' logits ``(recordings, classes)`` for recordings of the ``labels (recordings,)``."""
        taken = [logits.argmax(1) for logits in (before, after)]
        first, second = (own == labels for own in taken)
        size = before.shape[1]
        counts = [torch.bincount(labels * size + own, minlength=size**2).view(size, size).numpy() for own in taken]
        won, lost = int((second & ~first).sum()), int((first & ~second).sum())
        return cls(before=counts[0], after=counts[1], won=won, lost=lost)

    @property
    def recordings(self) -> int:
        """How many."""
        return int(self.before.sum())

    @property
    def gain(self) -> float:
        """By how much the share of the recordings that are recognised is larger."""
        return (self.won - self.lost) / self.recordings

    def figures(self) -> dict[str, dict[str, float | int]]:
        """Of ``global`` and ``personal``: ``uar``, the share that is recognised, ``wa``, and the ``count``."""
        counts = {"global": self.before, "personal": self.after}
        return {
            name: {"uar": float(uar(own)), "wa": float(wa(own)), "count": self.recordings}
            for name, own in counts.items()
        }

    def interval(self) -> tuple[float, float] | None:
        """Of ``gain``, to 95 %: a bootstrap of the recordings, each with what both models make of it.

        Speakers at a site are too few to be drawn anew, so that other speakers vary more than this says.
        """
        count = self.recordings
        if count < LEAST:
            return None
        shares = np.array([self.won, self.lost, count - self.won - self.lost]) / count
        drawn = numpy_generator("bootstrap", count).multinomial(count, shares, size=RESAMPLES)
        gains: Floats = (drawn[:, 0] - drawn[:, 1]) / count
        return percentile_interval(gains)
