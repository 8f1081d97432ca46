"""Private training at a site: DP-SGD whose unit is a recording or a speaker.

Each step draws a Poisson sample of the units, takes one gradient a unit, clips it, and adds noise to the sum; see
``common.privacy.mechanism`` for the guarantee, which is for what a unit contributes: how many there are is public. A
recording's gradient is the mean over copies of it at other speeds and with other masks (augmentation multiplicity, De
et al. 2022). A speaker's is the mean over all that speaker's recordings: one contribution a speaker, however many there
are (the user-level DP of McMahan et al. 2018).

Nothing is returned that was made of private data: no loss, no count of what was drawn. Nor does it fail for what a unit
holds: a unit without recordings has its place and adds nothing, and so has one whose gradient cannot be computed
(``common.privacy.contributions``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from opacus import GradSampleModule
from torch import Tensor, nn

from common.config.settings import AugmentConfig, PrivacyConfig, TrainingConfig
from common.config.units import UNITS
from common.data.dataset import SpeechDataset
from common.learning.training import Loss, device, make_optimizer
from common.privacy.accounting.accountants import Spend
from common.privacy.contributions import Gradients, StepSum, accumulate
from common.privacy.mechanism import PrivateOptimizer, set_empty
from common.privacy.per_sample.gradients import UnitGradients
from common.privacy.stream import SecretStream


class PlantedUnits(Protocol):
    """Made-up units that an audit puts in beside the real ones."""

    def rows(self, stream: SecretStream, rate: float) -> Iterable[Tensor]:
        """The flat gradients ``(drawn, parameters)`` of those that this step's Poisson sample drew, in pieces."""

    def see(self, noisy_sum: Tensor) -> None:
        """Note a step's noisy sum, ``(parameters,)``."""


def train_privately(
    model: nn.Module,
    data: SpeechDataset,
    spend: Spend,
    *,
    training: TrainingConfig,
    augment: AugmentConfig,
    privacy: PrivacyConfig,
    rate: float,
    stream: SecretStream,
    proximal_mu: float = 0.0,
    canaries: PlantedUnits | None = None,
    planted: int = 0,
) -> None:
    """Train a model in place for ``spend.steps`` noisy steps.

    Args:
        model: maps a padded batch and lengths to logits; with the private LSTM, where the unit is the utterance.
        data: the site's training recordings, normalised without a statistic that several units share; of a recording
            that cannot be used the place alone, without a version.
        spend: what was reserved for it: the unit, the sample rate, the noise multiplier, the steps.
        training: optimizer and loss; class weights are never used.
        augment: the masks.
        privacy: the clipping norm, the multiplicity, the physical batch.
        rate: the learning rate.
        stream: of secret random numbers.
        proximal_mu: FedProx's weight of half the squared distance to the weights at the start, which are public.
        canaries: of an audit.
        planted: how many units at the data's end an audit put in; the expected batch doesn't count them, for how many
            they are is as secret as which.
    """
    model.to(device()).train()
    expected = spend.sample_rate * (len(units_of(data, spend.unit)) - planted)
    optimizer = PrivateOptimizer(
        make_optimizer(model, training, rate),
        noise_multiplier=spend.noise_multiplier,
        max_grad_norm=privacy.max_grad_norm,
        expected_batch_size=expected,
        stream=stream,
    )
    start = [p.detach().clone() for p in optimizer.params] if proximal_mu else []
    own = Sampling(data, spend, training, augment, privacy)
    with own.sums(model, optimizer, canaries) as add_sample:
        for _ in range(spend.steps):
            add_sample()
            _release(optimizer, canaries, start, proximal_mu)


@dataclass(frozen=True)
class Sampling:
    """What the clipped gradients of a step are made of: ``train_privately`` says what each is."""

    data: SpeechDataset
    spend: Spend
    training: TrainingConfig
    augment: AugmentConfig
    privacy: PrivacyConfig

    @contextmanager
    def sums(
        self, model: nn.Module, optimizer: PrivateOptimizer, canaries: PlantedUnits | None = None
    ) -> Iterator[Callable[[], None]]:
        """What draws a step's sample and adds its clipped gradients to the optimizer's sum, within the block.

        Args:
            model: in training.
            optimizer: over its parameters; its stream draws the sample.
            canaries: of an audit.
        """
        spend, stream = self.spend, optimizer.stream
        units = units_of(self.data, spend.unit)
        gradients = self._gradients(stream)
        sampled = GradSampleModule(model, loss_reduction="sum") if UNITS[spend.unit].single else model
        step = StepSum(sampled, optimizer, _gradients_of(gradients, sampled), gradients.random)

        def add_sample() -> None:
            seed = stream.seed()
            drawn = [units[i] for i in stream.sample(len(units), spend.sample_rate).tolist()]
            step.add(drawn, seed)
            for rows in canaries.rows(stream, spend.sample_rate) if canaries else ():
                _set_rows(optimizer.params, rows)
                accumulate(optimizer)

        try:
            with torch.random.fork_rng(devices=[device()] if device().type == "cuda" else []):
                yield add_sample
        finally:
            if isinstance(sampled, GradSampleModule):
                sampled.to_standard_module()

    def _gradients(self, stream: SecretStream) -> UnitGradients:
        return UnitGradients(
            data=self.data,
            loss=Loss(self.training, None),
            augment=self.augment,
            random=torch.Generator().manual_seed(stream.seed()),
            copies=self.privacy.multiplicity,
            physical=self.privacy.max_physical_batch,
        )


def units_of(data: SpeechDataset, unit: str) -> list[list[int]]:
    """The recordings of each unit, by their places in the dataset: one each, or all of a speaker's.

    A unit of which no recording can be used is there, and empty: how many units there are tells of none of them.
    """
    return [[place for place in group if data.versions[place]] for group in UNITS[unit].groups(data.utterances)]


def _gradients_of(gradients: UnitGradients, model: nn.Module) -> Gradients:
    if isinstance(model, GradSampleModule):
        return lambda drawn: gradients.by_utterance(model, [recording for unit in drawn for recording in unit])
    return partial(gradients.by_speaker, model)


def _release(optimizer: PrivateOptimizer, canaries: PlantedUnits | None, start: Sequence[Tensor], mu: float) -> None:
    """Add the noise to the step's sum, and step; where nothing was drawn, of noise alone."""
    set_empty(optimizer.params)
    optimizer.pre_step()
    if canaries is not None:
        canaries.see(torch.cat([p.grad.flatten() for p in optimizer.params]) * optimizer.expected_batch_size)
    if mu:
        for parameter, origin in zip(optimizer.params, start, strict=True):
            parameter.grad += mu * (parameter.detach() - origin)  # both are public by now
    optimizer.original_optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _set_rows(parameters: Sequence[nn.Parameter], rows: Tensor) -> None:
    for parameter, own in zip(parameters, torch.split(rows, [p.numel() for p in parameters], dim=1), strict=True):
        parameter.grad_sample = own.view(len(rows), *parameter.shape).to(parameter.device)  # type: ignore[attr-defined]
