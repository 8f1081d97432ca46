"""Training recordings of a model that adapts to a stranger: in each epoch they are scaled anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from common.config.settings import FeatureConfig
from common.data.crops import NO_CROPS, Crops
from common.data.dataset import Batch, SpeechDataset
from common.data.extraction import Recording
from common.data.heard import EachSums
from common.data.normalise import Scaling

TRAINED = (0, 0, 1, 2, 4, 8, 16, 64)  # others of its speaker that a training recording is scaled after, each as often


class RunningDataset(SpeechDataset):
    """Training recordings, in each epoch scaled as if some others of their speakers had been heard before.

    What was heard is whole recordings; a window of one is scaled as the whole would be.

    Args:
        recordings: not normalised.
        classes: whose order numbers the labels.
        prior: of the training speakers.
        features: what the recordings' are.
        crops: what an epoch cuts.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        classes: Sequence[str],
        prior: Scaling,
        features: FeatureConfig,
        crops: Crops = NO_CROPS,
    ) -> None:
        super().__init__(recordings, classes, crops)
        self.prior, self.features = prior, features
        self._scaling: tuple[Tensor, Tensor] | None = None

    @cached_property
    def sums(self) -> EachSums:
        """Of each recording."""
        pairs = zip(self.utterances, self.versions, strict=True)
        return EachSums.of([Recording(utterance=u, versions=v) for u, v in pairs], self.features)

    def epoch(self, batch_size: int, generator: torch.Generator) -> Iterator[Batch]:
        """One pass in random order, each utterance once, in a version and after others that are drawn at random."""
        counts = torch.tensor(TRAINED)[torch.randint(len(TRAINED), (len(self),), generator=generator)]
        self._scaling = self.sums.after(self.prior, counts, generator)
        yield from super().epoch(batch_size, generator)

    def in_order(self, batch_size: int = 64) -> Iterator[Batch]:
        """One pass over the originals, as if nothing had been heard."""
        self._scaling = None
        yield from super().in_order(batch_size)

    def row(self, index: int, version: int) -> Tensor:
        """A version of an utterance, scaled."""
        features = super().row(index, version)
        if self._scaling is None:
            return self.prior(features)
        mean, deviation = self._scaling
        return Scaling(mean=mean[index], deviation=deviation[index])(features)

    def _empty(self) -> Self:
        return type(self)([], self.classes, self.prior, self.features, self.crops)
