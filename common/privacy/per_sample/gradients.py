"""One gradient a unit: of each recording, or of each speaker, left in ``grad_sample`` a physical batch at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from opacus import GradSampleModule
from torch import Tensor, nn

from common.config.settings import AugmentConfig
from common.data.dataset import Batch, SpeechDataset
from common.learning.training import Loss, device, masked
from common.privacy.per_sample import layer_gradients

__all__ = ["UnitGradients", "layer_gradients", "trained"]  # which Opacus knows once it is imported


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Those parameters that are not frozen."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


@dataclass(frozen=True, kw_only=True)
class UnitGradients:
    """Everything that a unit's gradient depends on.

    Attributes:
        data: the site's training recordings.
        loss: over logits and labels, the mean over a batch; it weighs no class, for weights would tell of the others.
        augment: the masks.
        random: of copies and masks.
        copies: how many altered copies of a recording its gradient is the mean of (De et al. 2022).
        physical: rows that are in memory at a time.
    """

    data: SpeechDataset
    loss: Loss
    augment: AugmentConfig
    random: torch.Generator
    copies: int
    physical: int

    def by_utterance(self, model: GradSampleModule, drawn: Sequence[int]) -> Iterator[None]:
        """The gradients of recordings; after each turn ``grad_sample`` is ``(recordings, …)``."""
        by_length = sorted(drawn, key=lambda i: len(self.data.versions[i][0]))  # so that little is padding
        size = max(1, self.physical // self.copies)
        for first in range(0, len(by_length), size):
            index = torch.tensor(by_length[first : first + size]).repeat_interleave(self.copies)
            with warnings.catch_warnings():  # the features need no gradient, and torch remarks on that
                warnings.filterwarnings("ignore", "Full backward hook is firing")
                (self._loss(model, index) / self.copies).backward()  # type: ignore[no-untyped-call]
            for parameter in trained(model):
                rows: Tensor = parameter.grad_sample  # type: ignore[attr-defined]
                joined = rows.view(-1, self.copies, *parameter.shape).sum(1)
                parameter.grad_sample = joined  # type: ignore[attr-defined]
            yield

    def by_speaker(self, model: nn.Module, drawn: Sequence[Sequence[int]]) -> Iterator[None]:
        """The gradient of each speaker, the mean over the recordings; ``grad_sample`` is ``(1, …)``."""
        for recordings in drawn:
            model.zero_grad(set_to_none=True)
            for index in torch.split(torch.tensor(recordings), self.physical):
                (self._loss(model, index) / len(recordings)).backward()  # type: ignore[no-untyped-call]
            for parameter in trained(model):
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad_sample = gradient[None]  # type: ignore[attr-defined]
            yield

    def _loss(self, model: nn.Module, index: Tensor) -> Tensor:
        """The summed loss of these recordings, each in a copy drawn at random."""
        versions = torch.tensor([self._copy(i) for i in index.tolist()])
        batch: Batch = masked(self.data.batch(index, versions), self.augment, self.random).to(device())
        loss: Tensor = self.loss(model(batch.features, batch.lengths), batch.labels) * len(index)
        return loss

    def _copy(self, recording: int) -> int:
        return int(torch.randint(len(self.data.versions[recording]), (), generator=self.random))
