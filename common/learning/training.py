"""The loops over a model and its data: train some epochs, evaluate. Nothing is read or written here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from common.audio.augment import spec_augment
from common.config.settings import AugmentConfig, TrainingConfig
from common.data.dataset import Batch, SpeechDataset
from common.learning.metrics import Confusion
from common.seeds import seed_of


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a site tells of its training: utterances seen once each epoch, their mean loss, seconds."""

    examples: int
    loss: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Scores that add up.

    Attributes:
        confusion: the counts ``(classes, classes)`` of each speaker.
        loss: summed cross-entropy.
        examples: utterances.
    """

    confusion: dict[str, Confusion]
    loss: float
    examples: int


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def learning_rate(config: TrainingConfig, round_number: int, rounds: int) -> float:
    """The rate of a round, from 1 to ``rounds``: constant, or along half a cosine (Loshchilov & Hutter 2017)."""
    if config.schedule == "constant":
        return config.learning_rate
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (round_number - 1) / rounds))


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """The inverse of each class's share, ``(classes,)``, 1 where all are even; 0 for a class without examples."""
    return inverse_shares(torch.bincount(labels, minlength=classes))


def inverse_shares(counts: Tensor) -> Tensor:
    """As ``class_weights``, of how often each class occurs, ``(classes,)``."""
    counts = counts.float()
    return torch.where(counts > 0, counts.sum() / (counts > 0).sum() / counts.clamp_min(1), torch.zeros(()))


class Loss(nn.Module):
    """Weighted cross-entropy or focal loss (Lin et al. 2017), with label smoothing; and a teacher's answers.

    Args:
        config: which, and its parameters.
        weights: ``(classes,)``, or None for none.
    """

    def __init__(self, config: TrainingConfig, weights: Tensor | None) -> None:
        super().__init__()
        self.config = config
        self.weights = weights

    def forward(self, logits: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
        """The weighted mean over a batch of ``logits (batch, classes)``.

        With a teacher's ``targets (batch, classes)`` at the temperature T it is (1 - w) of that, and w T² times the
        mean divergence of the model's probabilities at T from them: T² keeps the gradient's size (Hinton et al. 2015).
        """
        hard = self._hard(logits, labels)
        if targets is None:
            return hard
        temperature, weight = self.config.teacher_temperature, self.config.teacher_weight
        soft = torch.log_softmax(logits.float() / temperature, dim=1)
        distance = nn.functional.kl_div(soft, targets, reduction="batchmean")
        return (1 - weight) * hard + weight * temperature**2 * distance

    def _hard(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.config.label_smoothing
        if self.config.loss == "cross-entropy":
            return nn.functional.cross_entropy(logits, labels, self.weights, label_smoothing=smoothing)
        each = nn.functional.cross_entropy(logits, labels, self.weights, reduction="none", label_smoothing=smoothing)
        right = torch.softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
        focus = (1 - right).clamp_min(1e-6) ** self.config.focal_gamma  # below 1, gamma has no finite gradient at 0
        total = len(labels) if self.weights is None else self.weights[labels].sum()
        return (focus * each).sum() / total


def train(
    model: nn.Module,
    data: SpeechDataset,
    config: TrainingConfig,
    augment: AugmentConfig,
    *,
    rate: float,
    seed: int,
    proximal_mu: float = 0.0,
    after_step: Callable[[nn.Module], None] | None = None,
    pooled: Tensor | None = None,
) -> Trained:
    """Train a model in place for as many epochs as ``config.passes`` says.

    Args:
        model: maps ``(batch, frames, features)`` and lengths to logits.
        data: the training recordings.
        config: optimizer, batch size, loss, clipping.
        augment: the SpecAugment masks.
        rate: the learning rate.
        seed: of the batches, the masks and the dropout; the same seed gives the same weights.
        proximal_mu: FedProx's weight of half the squared distance to the weights at the start (Li et al. 2020).
        after_step: called after each step of the optimizer; it may change the weights.
        pooled: the weights of the classes ``(classes,)`` by the counts of all sites; None for those of these
            recordings, which at one place are all there are.
    """
    began = time.perf_counter()
    where = device()
    model.to(where).train()
    own = class_weights(data.labels, len(data.classes)) if pooled is None else pooled
    weights = None if config.class_weights == "none" else own.to(where)
    half = config.mixed_precision and where.type == "cuda"
    criterion = Loss(config, weights)
    optimizer = make_optimizer(model, config, rate)
    start = [p.detach().clone() for p in model.parameters()] if proximal_mu else []
    batches, masks = torch.Generator().manual_seed(seed_of(seed, "batches")), torch.Generator().manual_seed(seed)
    total, epochs = 0.0, config.passes(len(data))
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(seed_of(seed, "dropout"))
        for _ in range(epochs):
            for batch in data.epoch(config.batch_size, batches):
                step = masked(batch, augment, masks).to(where)
                with torch.autocast(where.type, torch.bfloat16, enabled=half):
                    loss = criterion(model(*step.given), step.labels, step.targets)
                total += float(loss.detach()) * len(step.labels)
                if proximal_mu:
                    pairs = zip(model.parameters(), start, strict=True)
                    loss = loss + proximal_mu / 2 * torch.stack([(p - s).square().sum() for p, s in pairs]).sum()
                _step(model, optimizer, loss, config.clip_norm)
                if after_step is not None:
                    after_step(model)
    examples = len(data)
    mean_loss = total / (examples * epochs)
    return Trained(examples=examples, loss=mean_loss, seconds=time.perf_counter() - began)


def make_optimizer(model: nn.Module, config: TrainingConfig, rate: float) -> torch.optim.Optimizer:
    """AdamW or SGD over those of a model's parameters that are trained."""
    return optimizer_over([parameter for parameter in model.parameters() if parameter.requires_grad], config, rate)


def optimizer_over(trained: list[nn.Parameter], config: TrainingConfig, rate: float) -> torch.optim.Optimizer:
    """AdamW or SGD over some parameters."""
    if config.optimizer == "sgd":
        return torch.optim.SGD(trained, rate, config.momentum, weight_decay=config.weight_decay)
    return torch.optim.AdamW(trained, rate, weight_decay=config.weight_decay)


def masked(batch: Batch, augment: AugmentConfig, generator: torch.Generator) -> Batch:
    """The batch with SpecAugment's masks, where there are any."""
    if not augment.time_masks and not augment.feature_masks:
        return batch
    features = spec_augment(
        batch.features,
        batch.lengths,
        time_masks=augment.time_masks,
        time_width=augment.time_width,
        feature_masks=augment.feature_masks,
        feature_width=augment.feature_width,
        generator=generator,
    )
    return replace(batch, features=features)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, clip_norm: float) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    optimizer.step()


@torch.no_grad()
def answers(model: nn.Module, data: SpeechDataset, where: torch.device | None = None) -> Iterator[tuple[Batch, Tensor]]:
    """Batches of recordings, by length, each with the logits ``(batch, classes)`` that a model gives it.

    Args:
        model: maps ``(batch, frames, features)`` and lengths to logits.
        data: in any order.
        where: the device, on which the logits are; a GPU where there is one by default.
    """
    where = where or device()
    model.to(where).eval()
    for batch in data.in_order():
        yield batch, model(*batch.to(where).given).float()


def evaluate(model: nn.Module, data: SpeechDataset, where: torch.device | None = None) -> Evaluated:
    """Count, speaker by speaker, what a model takes each recording for.

    Args:
        model: maps ``(batch, frames, features)`` and lengths to logits.
        data: in any order.
        where: the device; a GPU where there is one by default.
    """
    size = len(data.classes)
    confusion = {speaker: np.zeros((size, size), dtype=np.int64) for speaker in data.speakers}
    loss = 0.0
    for batch, logits in answers(model, data, where):
        loss += float(nn.functional.cross_entropy(logits, batch.labels.to(logits.device), reduction="sum"))
        for index, truth, taken in zip(batch.index, batch.labels, logits.argmax(1).cpu(), strict=True):
            confusion[data.utterances[index].speaker][truth, taken] += 1
    return Evaluated(confusion=confusion, loss=loss, examples=len(data))
