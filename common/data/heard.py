"""Running normalisation: a recording is scaled by what has been heard of its speaker so far, from nothing to all.

A stranger's first recording has only the scaling of the training speakers to go by; with each further one the
speaker's own figures are known better. So the scaling is a mean of both: the prior, worth some rows, and the sums over
the speech rows that were heard (the posterior mean of a normal distribution under a conjugate prior, as in the MAP
adaptation of Gauvain & Lee 1994). A model that is trained with scalings after few and after many recordings bears both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from common.config.settings import Config, FeatureConfig
from common.data.crops import NO_CROPS, Crops
from common.data.dataset import Batch, SpeechDataset
from common.data.extraction import Recording
from common.data.normalise import FLOOR, Scaling, Sums
from common.features.speech_gate import speech_rows
from common.seeds import torch_generator

TRAINED = (0, 0, 1, 2, 4, 8, 16, 64)  # others of its speaker that a training recording is scaled after, each as often
CHOSEN_AFTER = 2  # others of a validation speaker are heard where the round is chosen
PRIOR_SECONDS = 9.0  # of speech that the prior is worth
PRIOR_MATRICES = 3.0  # utterances that it is worth where matrices have no clock
_BLOCK = 256  # recordings whose others are drawn together: a speaker may have thousands


def sums_of(recordings: Sequence[Recording], config: Config) -> Sums:
    """What a site tells of its training recordings' features, for the scaling: over all rows, or those of speech."""
    return _speech_sums(recordings, config.features) if config.data.normalise == "running" else Sums.of(recordings)


def scaling_of(sums: Sums, config: Config) -> Scaling:
    """The training speakers' scaling; in a run whose model adapts, with how many rows it is worth as a prior."""
    if config.data.normalise != "running":
        return sums.scaling()
    rows = PRIOR_SECONDS * 1000 / (config.features.hop * config.features.stack)
    if sums.matrices:
        rows = PRIOR_MATRICES * sums.frames / sums.recordings
    return replace(sums.scaling(), weight=rows)


def _speech_sums(recordings: Sequence[Recording], config: FeatureConfig) -> Sums:
    """The sums over the speech rows of recordings, altered copies left out; of a matrix, over all its rows."""
    speech = [_speech(recording, config) for recording in recordings]
    return Sums.of([replace(own, versions=(rows,)) for own, rows in zip(recordings, speech, strict=True)])


def _speech(recording: Recording, config: FeatureConfig) -> Tensor:
    rows = recording.versions[0]
    return rows if recording.utterance.is_matrix else rows[speech_rows(rows, config)]


def adapted(prior: Scaling, heard: Sums) -> Scaling:
    """The scaling of a speaker of whom something has been heard: ``prior`` where it is nothing."""
    frames = torch.tensor([float(heard.frames)])
    mean, deviation = _adapted(prior, frames, heard.total[None], heard.square[None])
    return Scaling(mean=mean[0], deviation=deviation[0])


def _adapted(prior: Scaling, frames: Tensor, total: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    """Means and deviations ``(rows, features)`` float32, for ``frames (rows,)`` and sums ``(rows, features)``."""
    middle, spread, weight = prior.mean.double(), prior.deviation.double(), prior.weight
    count = (weight + frames.double())[:, None]
    mean = (weight * middle + total) / count
    second = (weight * (spread.square() + middle.square()) + square) / count
    deviation = (second - mean.square()).clamp_min(0).sqrt()
    deviation = torch.where(deviation > FLOOR, deviation, torch.ones_like(deviation))
    unheard = frames[:, None] == 0  # to the bit
    return torch.where(unheard, prior.mean, mean.float()), torch.where(unheard, prior.deviation, deviation.float())


# The places of a block of recordings, their numbers among their speaker's, those of all the speaker's: 1 where heard.
_Choose = Callable[[Tensor, Tensor, list[int]], Tensor]


@dataclass(frozen=True, kw_only=True)
class EachSums:
    """The sums of each of several recordings, and whose each is.

    Attributes:
        frames: ``(recordings,)`` float64.
        total: ``(recordings, features)`` float64.
        square: likewise.
        speakers: the places of each speaker's recordings, by name.
    """

    frames: Tensor
    total: Tensor
    square: Tensor
    speakers: dict[str, list[int]]

    @classmethod
    def of(cls, recordings: Sequence[Recording], config: FeatureConfig) -> Self:
        """Those of recordings, which are not normalised yet."""
        sums = [_speech_sums([recording], config) for recording in recordings]
        return cls(
            frames=torch.tensor([float(own.frames) for own in sums], dtype=torch.float64),
            total=torch.stack([own.total for own in sums]),
            square=torch.stack([own.square for own in sums]),
            speakers=_by_speaker(recordings),
        )

    def after(self, prior: Scaling, counts: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Each one's mean and deviation once some others of its speaker are heard, itself not: no stream can have that.

        Args:
            prior: of the training speakers.
            counts: ``(recordings,)`` int64, how many others; of a speaker with fewer all that there are.
            generator: draws which.

        Returns:
            Both ``(recordings, features)`` float32.
        """
        return self._after(prior, lambda block, own, places: _others(own, len(places), counts[block], generator))

    def after_all(self, prior: Scaling) -> tuple[Tensor, Tensor]:
        """Likewise, once all of its speaker's are heard, itself too."""
        return self._after(prior, lambda block, _, places: torch.ones(len(block), len(places)))

    def _after(self, prior: Scaling, choose: _Choose) -> tuple[Tensor, Tensor]:
        sums = [torch.zeros_like(own) for own in (self.frames, self.total, self.square)]
        for places in self.speakers.values():
            for own in torch.split(torch.arange(len(places)), _BLOCK):
                block = torch.tensor(places)[own]
                chosen = choose(block, own, places).double()
                for result, each in zip(sums, (self.frames, self.total, self.square), strict=True):
                    result[block] = chosen @ each[places]
        return _adapted(prior, *sums)


def _others(own: Tensor, size: int, counts: Tensor, generator: torch.Generator) -> Tensor:
    """For each of a speaker's recordings ``own (block,)`` of ``size`` which ``counts (block,)`` others are drawn."""
    order = torch.rand(len(own), size, generator=generator)
    order[torch.arange(len(own)), own] = 2.0  # itself comes last
    rank = order.argsort(1).argsort(1)
    return rank < counts[:, None].clamp_max(size - 1)


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
        return (features - mean[index]) / deviation[index]

    def _empty(self) -> Self:
        return type(self)([], self.classes, self.prior, self.features, self.crops)


def scaled_after(
    recordings: Sequence[Recording],
    prior: Scaling,
    features: FeatureConfig,
    heard: int | None,
    *,
    seed: int,
    draw: int = 0,
) -> list[Recording]:
    """Recordings, each scaled as if so many others of its speaker had been heard before.

    Which are drawn depends on the speaker and the seed alone, not on whose recordings stand beside.

    Args:
        recordings: all of their speakers', not normalised.
        prior: of the training speakers.
        features: what the recordings' are.
        heard: how many; None for all of the speaker's, itself too.
        seed: of the draw.
        draw: its number, where there are several.
    """
    scaled = dict[int, Recording]()
    for speaker, places in _by_speaker(recordings).items():
        own = [recordings[place] for place in places]
        sums = EachSums.of(own, features)
        if heard is None:
            mean, deviation = sums.after_all(prior)
        else:
            generator = torch_generator(seed, "heard", speaker, heard, draw)
            mean, deviation = sums.after(prior, torch.full((len(own),), heard), generator)
        for number, (place, recording) in enumerate(zip(places, own, strict=True)):
            versions = tuple((version - mean[number]) / deviation[number] for version in recording.versions)
            scaled[place] = replace(recording, versions=versions)
    return [scaled[place] for place in range(len(recordings))]


def _by_speaker(recordings: Sequence[Recording]) -> dict[str, list[int]]:
    """The places of each speaker's recordings, by name."""
    places: dict[str, list[int]] = {}
    for place, recording in enumerate(recordings):
        places.setdefault(recording.utterance.speaker, []).append(place)
    return places
