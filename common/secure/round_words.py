"""What a round's words are: the update's, and behind them what else a site tells, so that it tells nothing beside them.

A loss told in plain beside masked words would say of each site what the masks hide, and so would counts. They ride with
the words: means weighted by recordings, as the update is, and counts as they are. Which there are is known to both
sides from the run's settings, and in which order: of their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from common.errors import FederationError
from common.secure.fixed_point import MOST, Vector, Words, mean_of, words_of

SPAN = 16.0  # a mean is told in steps of 2^-25
MOST_MEAN = MOST * SPAN  # 64, nearly: a larger loss is told as this
MOST_COUNT = 2**24  # so that those of 255 sites fit a word

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a site tells beside its update, or what the sites of a sum told together.

    Attributes:
        means: over the site's recordings, 0 or more, such as the loss.
        counts: whole numbers, such as how many recordings each class has; flat.
    """

    means: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, Sequence[int] | Counts] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RoundLayout:
    """Where what stands in a round's words.

    Attributes:
        entries: of the update.
        means: their names.
        counts: how many there are of each, by name.
    """

    entries: int
    means: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many words there are."""
        return self.entries + len(self.means) + sum(self.counts.values())

    def words(self, update: Vector, beside: Beside, weight: int, total: int) -> Words:
        """A site's words, not masked yet.

        Args:
            update: ``(entries,)``, as ``fixed_point.words_of`` takes it.
            beside: with what the layout names.
            weight: the site's recordings.
            total: of the roster.

        Raises:
            FederationError: what is beside the update is not what the layout names, or can't be told in words.
        """
        if fault := next(self._faults(update, beside), None):
            raise FederationError(f"{fault}; nothing is masked")
        means = np.array([min(beside.means[name], MOST_MEAN) / SPAN for name in sorted(self.means)])
        counts = [np.asarray(beside.counts[name], np.int64).astype(np.uint32) for name in sorted(self.counts)]
        return np.concatenate([words_of(update, weight, total), words_of(means, weight, total), *counts])

    def read(self, words: Words, weight: int, total: int) -> tuple[Vector, Beside]:
        """The mean update that a sum of words stands for, and what its sites told together beside it.

        Args:
            words: ``(size,)``, summed modulo 2^32.
            weight: the recordings of the sites that are in the sum, together.
            total: of the roster.

        Raises:
            FederationError: there are more words, or fewer.
        """
        if len(words) != self.size:
            raise FederationError(f"a sum has {len(words)} words, expected {self.size}")
        ends = np.cumsum([self.entries, len(self.means), *(self.counts[name] for name in sorted(self.counts))])
        update, means, *counts = np.split(words, ends[:-1])
        told = mean_of(means, weight, total) * SPAN
        return mean_of(update, weight, total), Beside(
            means=dict(zip(sorted(self.means), told.tolist(), strict=True)),
            counts={name: own.astype(np.int64) for name, own in zip(sorted(self.counts), counts, strict=True)},
        )

    def _faults(self, update: Vector, beside: Beside) -> Iterator[str]:
        if len(update) != self.entries:
            yield f"the update has {len(update)} entries, expected {self.entries}"
        sizes = {name: len(own) for name, own in beside.counts.items()}
        if set(beside.means) != set(self.means) or sizes != dict(self.counts):
            found, expected = sorted({*beside.means, *sizes}), sorted({*self.means, *self.counts})
            names = (", ".join(each) or "none" for each in (found, expected))
            yield "beside the update are {}, expected {}, each whole".format(*names)
        for name, mean in beside.means.items():
            if not mean >= 0:  # nor not a number
                yield f"{name} is {mean}, expected 0 or more"
        for name, own in beside.counts.items():
            if any(not 0 <= count <= MOST_COUNT for count in own):
                yield f"{name} has a count outside of 0 to {MOST_COUNT}"
