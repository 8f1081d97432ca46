"""Zero mean and unit deviation of every feature: by speaker, by utterance, by pooled sums, or by public data's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from common.data.extraction import Recording
from common.errors import UsageError
from common.protocol import COMPONENTS, LEAST_WEIGHT, MOST_WEIGHT, WEIGHT

Array = np.ndarray[Any, Any]
FLOOR = 1e-5  # a deviation below it is a constant feature, which is only centred


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What a site may send instead of features: sums over frames, which add up.

    Attributes:
        frames: how many.
        total: ``(features,)``, float64.
        square: ``(features,)``, float64.
        recordings: of how many the frames are.
        matrices: how many of these are matrices of features, and not sounds.
    """

    frames: int
    total: torch.Tensor
    square: torch.Tensor
    recordings: int = 0
    matrices: int = 0

    @property
    def of_matrices(self) -> bool:
        """Whether most of the recordings are matrices, which have no clock."""
        return 2 * self.matrices > self.recordings

    @classmethod
    def of(cls, recordings: Sequence[Recording]) -> Self:
        """The sums over the frames of all recordings, altered copies left out."""
        frames = [recording.versions[0].double() for recording in recordings]
        return cls(
            frames=sum(map(len, frames)),
            total=torch.stack([f.sum(0) for f in frames]).sum(0),
            square=torch.stack([f.square().sum(0) for f in frames]).sum(0),
            recordings=len(recordings),
            matrices=sum(recording.utterance.is_matrix for recording in recordings),
        )

    @classmethod
    def none(cls, features: int) -> Self:
        """Those over no frames, as of a speaker of whom nothing was heard."""
        zeros = torch.zeros(features, dtype=torch.float64)
        return cls(frames=0, total=zeros, square=zeros)

    @classmethod
    def added(cls, parts: Sequence[Self]) -> Self:
        """The sums over the frames of all of them."""
        return cls(
            frames=sum(part.frames for part in parts),
            total=torch.stack([part.total for part in parts]).sum(0),
            square=torch.stack([part.square for part in parts]).sum(0),
            recordings=sum(part.recordings for part in parts),
            matrices=sum(part.matrices for part in parts),
        )

    def scaling(self) -> Scaling:
        """Mean and deviation of these frames."""
        mean = self.total / self.frames
        deviation = (self.square / self.frames - mean.square()).clamp_min(0).sqrt()
        deviation = torch.where(deviation > FLOOR, deviation, torch.ones_like(deviation))
        return Scaling(mean=mean.float(), deviation=deviation.float())


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """A mean and a deviation for each feature, ``(features,)`` float32.

    Attributes:
        mean: of each.
        deviation: of each.
        weight: how many rows it is worth beside those heard of a speaker, where it is their prior; else 0.
        components: ``(kept, features)`` float32, the directions of public speech that scaled rows are brought to; None
            where they stay as they are.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    weight: float = 0.0
    components: torch.Tensor | None = None

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Scale ``(frames, features)``."""
        return (features - self.mean) / self.deviation

    def project(self, scaled: torch.Tensor) -> torch.Tensor:
        """``(frames, kept)`` of scaled ``(frames, features)``; these themselves where no components are known."""
        return scaled if self.components is None else scaled @ self.components.T

    def arrays(self) -> dict[str, Array]:
        """As messages and files have it: ``mean``, ``deviation``, a prior's ``weight`` and public ``components``."""
        weight = {WEIGHT: np.array([self.weight], dtype=np.float32)} if self.weight else {}
        components = {} if self.components is None else {COMPONENTS: self.components.numpy()}
        return {"mean": self.mean.numpy(), "deviation": self.deviation.numpy(), **weight, **components}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """The scaling of ``arrays``, with memory of its own.

        Raises:
            ValueError: the weight is not one number that a prior can have.
        """
        mean, deviation = (torch.from_numpy(arrays[name].copy()) for name in ("mean", "deviation"))
        weight = 0.0
        if WEIGHT in arrays:
            weight = arrays[WEIGHT].item()
            if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
                raise ValueError(f"a prior's weight is {weight}, expected {LEAST_WEIGHT:g} to {MOST_WEIGHT:g} rows")
        kept = torch.from_numpy(arrays[COMPONENTS].copy()) if COMPONENTS in arrays else None
        return cls(mean=mean, deviation=deviation, weight=weight, components=kept)


def normalise(recordings: Sequence[Recording], mode: str, training: Scaling | None = None) -> list[Recording]:
    """Normalise recordings and their altered copies.

    Args:
        recordings: all of the speakers' recordings, where ``mode`` is ``speaker``: no label is used.
        mode: ``speaker``, ``utterance``, ``global`` or ``public``.
        training: the scaling of the training sites, or of public data, for ``global`` and ``public``.

    Raises:
        UsageError: a mode that cannot work on these recordings.
    """
    if mode == "utterance":
        refuse_single_frames(recordings, mode)
    return normalised(recordings, mode, training)


def normalised(recordings: Sequence[Recording], mode: str, training: Scaling | None = None) -> list[Recording]:
    """As ``normalise``, whatever is left of the recordings: a private run can't refuse them for what they hold.

    Raises:
        UsageError: there is no scaling, and the mode needs one.
    """
    if mode == "running":  # ``common.data.heard`` scales by what was heard of a speaker
        raise UsageError("normalise=running needs a scaling")
    if training is not None and training.components is not None:
        whole = normalised(recordings, mode, replace(training, components=None))
        return [replace(own, versions=tuple(map(training.project, own.versions))) for own in whole]
    if mode in ("global", "public"):
        if training is None:
            raise UsageError(f"normalise={mode} needs a scaling")
        return [_scaled(recording, training) for recording in recordings]
    if mode == "utterance":
        return [_by_utterance(recording) for recording in recordings]
    speakers: dict[str, list[Recording]] = {}
    for recording in recordings:
        speakers.setdefault(recording.utterance.speaker, []).append(recording)
    scalings = {speaker: Sums.of(own).scaling() for speaker, own in speakers.items()}
    return [_scaled(recording, scalings[recording.utterance.speaker]) for recording in recordings]


def refuse_single_frames(recordings: Sequence[Recording], mode: str, statistics: str = "none") -> None:
    """Refuse what leaves nothing of matrices of one frame: by utterance each is its own mean, and none has contours.

    Raises:
        UsageError: nothing would be left of any of these recordings.
    """
    held = [recording for recording in recordings if recording.versions]
    if not held or any(len(recording.versions[0]) > 1 for recording in held):
        return
    if mode == "utterance":
        raise UsageError(
            "--normalise utterance leaves nothing of matrices with one frame; use speaker, global or public"
        )
    if statistics == "contours":
        raise UsageError('model.statistics = "contours" sees nothing in matrices with one frame; use "means"')


def _scaled(recording: Recording, scaling: Scaling) -> Recording:
    return Recording(utterance=recording.utterance, versions=tuple(scaling(v) for v in recording.versions))


def _by_utterance(recording: Recording) -> Recording:
    versions = []
    for version in recording.versions:
        alone = Recording(utterance=recording.utterance, versions=(version,))
        versions.append(Sums.of([alone]).scaling()(version))
    return Recording(utterance=recording.utterance, versions=tuple(versions))
