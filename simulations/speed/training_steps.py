"""Whole training steps of one small model, private and not, for the benchmark that compares them.

Guarantee: none is claimed. Ours is the mechanism of ``common.privacy.mechanism`` on a batch that is no Poisson sample;
Opacus's own, from batches to noise, are there to be timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.layers import DPLSTM
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import Tensor, nn

from common.privacy.mechanism import PrivateOptimizer
from common.privacy.per_sample.private_lstm import PrivateLSTM
from common.privacy.stream import SecretStream

FEATURES, CLASSES = 40, 4
NOISE, CLIP = 1.0, 1.0  # the noise multiplier and the clipping norm: a step takes as long with any

Step = Callable[[], None]


class Classifier(nn.Module):
    """An LSTM, the mean over time, a linear layer."""

    def __init__(self, lstm: nn.Module, hidden: int) -> None:
        super().__init__()
        self.lstm = lstm
        self.linear = nn.Linear(2 * hidden, CLASSES)

    def forward(self, batch: Tensor) -> Tensor:
        """Logits ``(batch, classes)``."""
        output = self.lstm(batch)
        frames: Tensor = output[0] if isinstance(output, tuple) else output
        logits: Tensor = self.linear(frames.mean(1))
        return logits


def plain(hidden: int, layers: int, batch: Tensor, labels: Tensor) -> Step:
    """``nn.LSTM`` and Adam."""
    model = Classifier(nn.LSTM(FEATURES, hidden, layers, batch_first=True, bidirectional=True), hidden)
    return _step(model, torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss(), batch, labels)


def ours(hidden: int, layers: int, batch: Tensor, labels: Tensor) -> Step:
    """The private layer under Opacus's hooks, and the mechanism that ships."""
    model = Classifier(PrivateLSTM(FEATURES, hidden, layers=layers), hidden)
    optimizer = PrivateOptimizer(
        torch.optim.Adam(model.parameters()),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=len(batch),
        stream=SecretStream(),
    )
    sampled = GradSampleModule(model, loss_reduction="sum")
    return _step(sampled, optimizer, nn.CrossEntropyLoss(reduction="sum"), batch, labels)


def opacus_hooks(hidden: int, layers: int, batch: Tensor, labels: Tensor) -> Step:
    """Opacus's layer, gradients by sample."""
    model = GradSampleModule(_dplstm(hidden, layers), loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.Adam(model.parameters()),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=len(batch),
    )
    return _step(model, optimizer, nn.CrossEntropyLoss(reduction="sum"), batch, labels)


def opacus_ghost(hidden: int, layers: int, batch: Tensor, labels: Tensor) -> Step:
    """Opacus's layer, norms by sample and a second backward pass."""
    model = GradSampleModuleFastGradientClipping(_dplstm(hidden, layers), loss_reduction="sum", max_grad_norm=CLIP)
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.Adam(model.parameters()),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=len(batch),
        loss_reduction="sum",
    )
    loss = DPLossFastGradientClipping(model, optimizer, nn.CrossEntropyLoss(reduction="sum"), loss_reduction="sum")
    return _step(model, optimizer, loss, batch, labels)


def _dplstm(hidden: int, layers: int) -> nn.Module:
    return Classifier(DPLSTM(FEATURES, hidden, layers, batch_first=True, bidirectional=True), hidden)


def _step(model: nn.Module, optimizer: Any, loss: Callable[..., Any], batch: Tensor, labels: Tensor) -> Step:
    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(model(batch), labels).backward()
        optimizer.step()

    return step


CONTENDERS = {"plain": plain, "ours": ours, "opacus_hooks": opacus_hooks, "opacus_ghost": opacus_ghost}
