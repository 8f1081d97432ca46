"""Reconstruction: the features of one utterance from one update (gradient inversion).

Threat model: the server, or whoever sees an update, knows the model that was sent out, the loss and its settings, how
many frames the utterance has, and that the update is one gradient of one utterance: one step of plain SGD with a batch
of one, without dropout and masks. That is the worst case; several steps or an adaptive optimizer give less away.

Method: dummy features are moved until their gradient points where the observed one does (Zhu, Liu & Han, NeurIPS 2019,
"Deep Leakage from Gradients"; the cosine loss, the signed Adam steps and the smoothness prior are those of Geiping et
al., NeurIPS 2020). The cosine is taken a parameter at a time: in one cosine for all, the classifier's gradient would
outweigh the first layers', which know the frames.

The longer the utterance the less is found: a gradient is a sum over frames. Attack short ones for the worst case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import UsageError
from common.learning.metrics import MIN_SPEAKERS
from common.seeds import torch_generator
from simulations.audits.attacks.intervals import LEVEL, Interval, student

_RATE = 0.05
_SMOOTHNESS = 0.1  # the weight of the mean step from frame to frame
_START = 0.1  # the dummy's first deviation


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """How alike reconstructions are to the truth, against random guesses.

    Attributes:
        utterances: how many were attacked.
        correlation: the mean of the utterances' correlations; 0 tells nothing, 1 all.
        correlation_ci95: of that mean over utterances (Student's t); None below 5 utterances.
        random_correlation: the mean correlation of random guesses with the truths.
        random_ci95: where 95 % of such a mean over as many utterances lies; ``correlation`` above it is a leak.
    """

    utterances: int
    correlation: float
    correlation_ci95: Interval | None
    random_correlation: float
    random_ci95: Interval


def infer_label(bias_gradient: Tensor) -> int:
    """The true class, from the gradient of the last layer's bias ``(classes,)``, for one utterance and cross-entropy.

    That gradient is the probabilities less the target, negative at the true class alone (Zhao, Mopuri & Bilen 2020,
    iDLG), and lowest there with label smoothing too, unless the model is surer of the class than the smoothed target.
    """
    return int(bias_gradient.argmin())


def invert(
    model: nn.Module,
    gradient: Mapping[str, Tensor],
    *,
    frames: int,
    features: int,
    label: int,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    steps: int = 300,
    restarts: int = 2,
    seed: int = 0,
) -> Tensor:
    """Features whose gradient points where the observed one does.

    Args:
        model: maps ``(1, frames, features)`` and lengths ``(1,)`` to logits ``(1, classes)``; with the weights that
            were sent out, in evaluation mode, on the processor, and twice differentiable:
            ``common.models.bilstm.BiLSTM`` is, a layer with a backward pass of its own is not.
        gradient: what was observed, by parameter; its scale doesn't matter, so weights that were sent minus weights
            that came back do after a step of SGD. Parameters that it lacks, or where it is 0, are left out.
        frames: of the utterance.
        features: of a frame.
        label: the class; see ``infer_label``.
        loss: of logits and labels.
        steps: of each search.
        restarts: searches from other dummies, of which the one whose gradient came nearest is returned; some go astray.
        seed: of the dummies.

    Returns:
        ``(frames, features)``.

    Raises:
        UsageError: the gradient has no parameter of the model, or isn't finite.
    """
    seen = {name: p for name, p in model.named_parameters() if name in gradient and gradient[name].any()}
    if not seen or not all(gradient[name].isfinite().all() for name in seen):
        raise UsageError("the gradient has no parameter of this model, is 0, or is not finite: nothing to invert")
    truth, length = torch.tensor([label]), torch.tensor([frames])

    def distance(dummy: Tensor) -> Tensor:
        own = torch.autograd.grad(loss(model(dummy[None], length), truth), list(seen.values()), create_graph=True)
        return torch.stack([_apart(g, gradient[name]) for g, name in zip(own, seen, strict=True)]).mean()

    starts = [_START * torch.randn(frames, features, generator=torch_generator(seed, i)) for i in range(restarts)]
    return min((_search(distance, start, steps) for start in starts), key=lambda found: found[0])[1]


def _search(distance: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> tuple[float, Tensor]:
    """The distance reached, and where."""
    dummy, reached = start.requires_grad_(), 2.0
    optimizer = torch.optim.Adam([dummy], _RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        apart = distance(dummy)
        roughness = dummy.diff(dim=0).abs().mean() if len(dummy) > 1 else dummy.new_zeros(())
        dummy.grad = torch.autograd.grad(apart + _SMOOTHNESS * roughness, dummy)[0].sign()
        optimizer.step()
        schedule.step()
        reached = float(apart.detach())
    return reached, dummy.detach()


def _apart(own: Tensor, observed: Tensor) -> Tensor:
    return 1 - nn.functional.cosine_similarity(own.flatten(), observed.flatten(), dim=0)


def correlation(truth: Tensor, guess: Tensor) -> float:
    """Pearson's correlation over all frames and features; 0 where either is constant.

    Features that aren't normalised correlate whatever the utterance, for their means differ: judge those by what other
    utterances of the corpus give as guesses.

    Raises:
        UsageError: shapes that differ.
    """
    if truth.shape != guess.shape:
        raise UsageError(f"a reconstruction of shape {tuple(guess.shape)}, expected {tuple(truth.shape)}")
    a, b = (t.double() - t.double().mean() for t in (truth, guess))
    scale = float(a.norm() * b.norm())
    return float((a * b).sum()) / scale if scale else 0.0


def random_guesses(truth: Tensor, count: int, seed: int) -> list[Tensor]:
    """So many guesses by who knows only that features are normalised: standard normal numbers in the truth's shape."""
    generator = torch_generator(seed, "guesses")
    return [torch.randn(truth.shape, generator=generator, dtype=truth.dtype) for _ in range(count)]


def success(
    truths: Sequence[Tensor], reconstructions: Sequence[Tensor], guesses: Sequence[Sequence[Tensor]]
) -> Reconstruction:
    """The correlations of reconstructions, against those of guesses.

    Args:
        truths: the utterances, ``(frames, features)`` each.
        reconstructions: one of each.
        guesses: as many for each utterance, 100 or so: ``random_guesses``, or other utterances cut to the same length.

    Raises:
        UsageError: no utterance, no guess, or numbers that don't match.
    """
    if not truths or not len(truths) == len(reconstructions) == len(guesses) or len({len(g) for g in guesses}) != 1:
        raise UsageError("each utterance needs one reconstruction, and as many guesses as the others")
    found = np.array([correlation(t, r) for t, r in zip(truths, reconstructions, strict=True)])
    guessed = np.array([[correlation(t, g) for g in own] for t, own in zip(truths, guesses, strict=True)]).mean(0)
    if not len(guessed):
        raise UsageError("no guess to compare with, expected 100 or so")
    low, high = np.percentile(guessed, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Reconstruction(
        utterances=len(truths),
        correlation=float(found.mean()),
        correlation_ci95=_interval(found),
        random_correlation=float(guessed.mean()),
        random_ci95=(float(low), float(high)),
    )


def _interval(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Interval | None:
    if len(values) < MIN_SPEAKERS:
        return None
    return student(float(values.mean()), float(values.var(ddof=1)) / len(values), len(values) - 1, -1.0, 1.0)
