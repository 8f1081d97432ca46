"""From one utterance to its update, and from the update back to an utterance, over all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor

from common.config.settings import TrainingConfig
from common.errors import FedserError
from common.learning.training import Loss
from common.models.model import EmotionModel
from common.privacy.mechanism import PrivateOptimizer
from common.privacy.stream import SecretStream
from common.privacy.terms import Terms
from common.processes.pool import processes
from simulations.audits.attacks.gradient_inversion import infer_label, invert


@dataclass(frozen=True, kw_only=True)
class Victim:
    """One utterance that is attacked.

    Attributes:
        truth: ``(frames, features)``.
        label: its class.
        training: the loss's settings; class weights and the optimizer don't matter to a step on one utterance.
        terms: of the private run at its site; None without privacy.
        steps: of the search.
        seed: of its dummies, and of its noise where the run has an insecure seed.
    """

    truth: Tensor
    label: int
    training: TrainingConfig
    terms: Terms | None
    steps: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an attacker finds: features ``(frames, features)`` and the class."""

    features: Tensor
    label: int


def invert_all(
    model: EmotionModel, victims: Sequence[Victim], *, workers: int, on_done: Callable[[int], None]
) -> list[Found]:
    """Attack each utterance by itself.

    Args:
        model: that was sent out, in evaluation mode.
        victims: at least one.
        workers: processes; 0 for none beside this one.
        on_done: called with the number of those done.

    Raises:
        FedserError: a process was killed.
    """
    results = []
    for result in _each(model, victims, min(workers, len(victims))):
        results.append(result)
        on_done(len(results))
    return results


def _each(model: EmotionModel, victims: Sequence[Victim], workers: int) -> Iterator[Found]:
    if workers == 0:
        yield from map(_invert, repeat(model), victims)
        return
    with processes(workers, FedserError("a process of the audit was killed, perhaps for want of memory")) as pool:
        yield from pool.map(_invert, repeat(model), victims)


def _invert(model: EmotionModel, victim: Victim) -> Found:
    update = released(model, victim)
    label = infer_label(update[model.kind.output_bias])
    frames, features = victim.truth.shape
    found = invert(
        model,
        update,
        frames=frames,
        features=features,
        label=label,
        loss=Loss(victim.training, None),
        steps=victim.steps,
        seed=victim.seed,
    )
    return Found(features=found, label=label)


def released(model: EmotionModel, victim: Victim) -> dict[str, Tensor]:
    """The gradient of one utterance, by parameter; in a private run what the mechanism releases in its place."""
    model.zero_grad(set_to_none=True)
    logits = model(victim.truth[None], torch.tensor([len(victim.truth)]))
    Loss(victim.training, None)(logits, torch.tensor([victim.label])).backward()
    terms = victim.terms
    if terms is not None:
        optimizer = PrivateOptimizer(
            torch.optim.SGD(model.parameters()),
            noise_multiplier=terms.noise_multiplier,
            max_grad_norm=terms.max_grad_norm,
            expected_batch_size=1,
            stream=SecretStream(victim.seed if terms.insecure_seed else None),
        )
        for parameter in optimizer.params:
            parameter.grad_sample = parameter.grad[None]
        optimizer.pre_step()
    update = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return update
