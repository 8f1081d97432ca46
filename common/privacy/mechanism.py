"""The Gaussian mechanism of DP-SGD as an optimizer: clip each unit's gradient, sum, add noise (Abadi et al. 2016).

Guarantee. Let a unit be a recording or a speaker, and let neighbouring datasets differ in one unit that is added or
removed. Each step's summed gradient moves by at most ``max_grad_norm`` in the L2 norm when a unit is added, whatever
that unit's gradient is, and Gaussian noise of ``noise_multiplier * max_grad_norm`` is added to it. If each unit is
drawn by itself with probability q (Poisson sampling), the step is a Poisson-subsampled Gaussian mechanism, and
``common.privacy.accounting.accountants`` says what T of them cost. Everything that is made of the noisy sums alone
(Adam's moments, the model, its average over rounds) costs nothing more.

Assumed: noise and sample come from a ``SecretStream``; q, the noise multiplier and the number of steps were fixed
without looking at the data. Public: the number of units (q and the averaging weights tell it), all settings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn

from common.privacy.stream import SecretStream


class PrivateOptimizer(DPOptimizer):  # type: ignore[misc]
    """Opacus's ``DPOptimizer`` with secret noise, which survives gradients that are not finite.

    Args:
        optimizer: of torch, over parameters whose ``grad_sample`` is ``(units, …)`` after each backward pass.
        noise_multiplier: the noise's deviation over ``max_grad_norm``.
        max_grad_norm: each unit's gradient is clipped to this L2 norm.
        expected_batch_size: q times the number of units; sums are divided by it, never by what was drawn.
        stream: where the noise comes from.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *,
        noise_multiplier: float,
        max_grad_norm: float,
        expected_batch_size: float,
        stream: SecretStream,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=expected_batch_size,
        )
        self.stream = stream

    def clip_and_accumulate(self) -> None:
        """Add this micro-batch's clipped gradients to the step's sum."""
        rows: list[Tensor] = self.grad_samples
        factors = clip_factors(rows, self.max_grad_norm)
        sums = [_added(p, (factors @ row.flatten(1)).view_as(p)) for p, row in zip(self.params, rows, strict=True)]
        for parameter, summed in zip(self.params, sums, strict=True):  # now nothing can raise: all is added, or nothing
            parameter.summed_grad = summed

    def add_noise(self) -> None:
        """Set each parameter's ``grad`` to the sum of clipped gradients, plus noise."""
        parameters: Sequence[nn.Parameter] = self.params
        noise = self.stream.normal(sum(p.numel() for p in parameters)) * (self.noise_multiplier * self.max_grad_norm)
        for parameter, own in zip(parameters, noise.split([p.numel() for p in parameters]), strict=True):
            summed: Tensor = parameter.summed_grad  # type: ignore[attr-defined]
            parameter.grad = (summed.double() + own.view_as(summed).to(summed.device)).to(summed.dtype)


def _added(parameter: nn.Parameter, more: Tensor) -> Tensor:
    summed: Tensor | None = parameter.summed_grad  # type: ignore[attr-defined]
    return more if summed is None else summed + more


def clip_factors(rows: Sequence[Tensor], max_grad_norm: float) -> Tensor:
    """What each unit's gradient is multiplied with so that its norm is at most ``max_grad_norm``.

    Args:
        rows: a parameter each, ``(units, …)``. A unit whose gradient is not finite is set to 0 in place, and so adds
            nothing: NaN in the sum would tell of it and spoil the model.
        max_grad_norm: the bound.

    Returns:
        ``(units,)``, from 0 to 1.
    """
    norms = torch.stack([torch.linalg.vector_norm(row.flatten(1), dim=1) for row in rows])
    norm = torch.linalg.vector_norm(norms, dim=0)
    for unit in torch.nonzero(~torch.isfinite(norm))[:, 0].tolist():
        for row in rows:
            row[unit] = 0.0
        norm[unit] = 0.0
    factors: Tensor = (max_grad_norm / norm.clamp_min(1e-12)).clamp(max=1.0)
    return factors


def set_empty(parameters: Iterable[nn.Parameter]) -> None:
    """Give each parameter the gradients of no unit: an empty Poisson sample still is a step of noise, and counts."""
    for parameter in parameters:
        parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))  # type: ignore[attr-defined]
