"""Running normalisation: a recording is scaled by what has been heard of its speaker so far, from nothing to all.

A stranger's first recording has only the scaling of the training speakers to go by; with each further one the
speaker's own figures are known better. So the scaling is a mean of both: the prior, worth some rows, and the sums over
the speech rows that were heard (the posterior mean of a normal distribution under a conjugate prior, as in the MAP
adaptation of Gauvain & Lee 1994). A model that is trained with scalings after few and after many recordings bears both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from common.config.settings import Config, FeatureConfig
from common.data.extraction import Recording
from common.data.normalise import FLOOR, Scaling, Sums
from common.features.front_end import row_ms
from common.features.speech_gate import speech_rows
from common.protocol import LEAST_WEIGHT, MOST_WEIGHT
from common.seeds import torch_generator

CHOSEN_AFTER = 2  # others of a validation speaker are heard where the round is chosen
PRIOR_SECONDS = 9.0  # of speech that the prior is worth
PRIOR_MATRICES = 3.0  # utterances that it is worth where matrices have no clock


def sums_of(recordings: Sequence[Recording], config: Config) -> Sums:
    """What a site tells of its training recordings' features, for the scaling: over all rows, or those of speech."""
    return _speech_sums(recordings, config.features) if config.data.normalise == "running" else Sums.of(recordings)


def scaling_of(sums: Sums, config: Config) -> Scaling:
    """The training speakers' scaling; in a run whose model adapts, with how many rows it is worth as a prior."""
    if config.data.normalise != "running":
        return sums.scaling()
    rows = PRIOR_SECONDS * 1000 / row_ms(config.features)
    if sums.of_matrices or config.features.encoder.pooled:
        rows = PRIOR_MATRICES * sums.frames / sums.recordings
    return replace(sums.scaling(), weight=min(max(rows, LEAST_WEIGHT), MOST_WEIGHT))


def _speech_sums(recordings: Sequence[Recording], config: FeatureConfig) -> Sums:
    """The sums over the speech rows of recordings, altered copies left out; of a matrix, over all its rows."""
    speech = [_speech(recording, config) for recording in recordings]
    return Sums.of([replace(own, versions=(rows,)) for own, rows in zip(recordings, speech, strict=True)])


def _speech(recording: Recording, config: FeatureConfig) -> Tensor:
    rows = recording.versions[0]
    whole = recording.utterance.is_matrix or config.encoder.on  # whose rows tell no level
    return rows if whole else rows[speech_rows(rows, config)]


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

        A speaker's recordings are laid in a circle at random, and each has heard those that follow it there: so any
        number of others costs no more than one pass over the sums.

        Args:
            prior: of the training speakers.
            counts: ``(recordings,)`` int64, how many others; of a speaker with fewer all that there are.
            generator: draws the circles.

        Returns:
            Both ``(recordings, features)`` float32.
        """
        sums = [torch.zeros_like(own) for own in (self.frames, self.total, self.square)]
        for places in self.speakers.values():
            circle = torch.tensor(places)[torch.randperm(len(places), generator=generator)]
            following = torch.arange(1, len(places) + 1)
            until = following + counts[circle].clamp_max(len(places) - 1)
            for result, each in zip(sums, (self.frames, self.total, self.square), strict=True):
                running = each[circle.repeat(2)].cumsum(0)  # up to each place, itself too
                result[circle] = running[until - 1] - running[following - 1]
        return _adapted(prior, *sums)

    def after_all(self, prior: Scaling) -> tuple[Tensor, Tensor]:
        """Likewise, once all of its speaker's are heard, itself too."""
        sums = [torch.zeros_like(own) for own in (self.frames, self.total, self.square)]
        for places in self.speakers.values():
            for result, each in zip(sums, (self.frames, self.total, self.square), strict=True):
                result[places] = each[places].sum(0)
        return _adapted(prior, *sums)


class Heard:
    """Recordings that are scaled as if some others of their speakers had been heard before.

    Which are drawn depends on the speaker and the seed alone, not on whose recordings stand beside.

    Args:
        recordings: all of their speakers', not normalised.
        prior: of the training speakers.
        features: what the recordings' are.
        seed: of the draws.
    """

    def __init__(self, recordings: Sequence[Recording], prior: Scaling, features: FeatureConfig, *, seed: int) -> None:
        self._recordings, self._prior, self._seed = recordings, prior, seed
        self._speakers = _by_speaker(recordings)
        self._sums = {
            speaker: EachSums.of([recordings[place] for place in places], features)
            for speaker, places in self._speakers.items()
        }

    def after(self, heard: int | None, draw: int = 0) -> list[Recording]:
        """All recordings, in their order.

        Args:
            heard: how many others of the speaker; None for all of the speaker's, itself too.
            draw: which of several draws of others.
        """
        scaled = list(self._recordings)
        for speaker, places in self._speakers.items():
            mean, deviation = self._scalings(speaker, heard, draw)
            for number, place in enumerate(places):
                own = self._recordings[place]
                scaling = Scaling(mean=mean[number], deviation=deviation[number])
                scaled[place] = replace(own, versions=tuple(map(scaling, own.versions)))
        return scaled

    def _scalings(self, speaker: str, heard: int | None, draw: int) -> tuple[Tensor, Tensor]:
        sums = self._sums[speaker]
        if heard is None:
            return sums.after_all(self._prior)
        generator = torch_generator(self._seed, "heard", speaker, heard, draw)
        return sums.after(self._prior, torch.full((len(sums.frames),), heard), generator)


def _by_speaker(recordings: Sequence[Recording]) -> dict[str, list[int]]:
    """The places of each speaker's recordings, by name."""
    places: dict[str, list[int]] = {}
    for place, recording in enumerate(recordings):
        places.setdefault(recording.utterance.speaker, []).append(place)
    return places
