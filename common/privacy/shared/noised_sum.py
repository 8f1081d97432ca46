"""A site's part of one summed step: its units' clipped gradients on a grid, and its part of the noise, in one sum.

Guarantee. Unit, neighbours and clipping are those of ``common.privacy.mechanism``; what is released is not each site's
sum but all sites' sum, in whole numbers (``common.privacy.shared.grid``). A unit moves it by C at most, rounding and
all, and the sites' discrete Gaussians together have the variance ``s² C² n / M``, n being the sites in it and s the
run's noise multiplier. So whoever sees
the sums alone, and knows the parts of at most n - M of the sites that are in them, sees a mechanism with the noise
multiplier s or more, Poisson-subsampled as every other; ``common.privacy.accounting.accountants`` says what T of them
cost. A site is such an onlooker: it knows its own part.

Assumed: M sites in each sum add their parts as they should, and nobody who looks knows these; nobody sees one site's
sum, or that of fewer than M parts unknown to them, as secure sums see to. A site's sum alone has the noise multiplier
``s / √M`` and no more, and nothing is promised of it. q, s, M and the steps are the same at all sites and were fixed
without looking at data; noise and sample come from a ``SecretStream``. The account is that of the continuous Gaussian:
without sampling a discrete one has the same Rényi curve (Canonne, Kamath & Steinke 2020); sums of discrete Gaussians of
16 steps or more, and their subsampling, are taken as of the continuous ones, from which they differ in no digit here.
That is no proof to the last digit. A unit's own gradient is made in floating point, in batches with others.

Public: settings, the number of units at each site, which sites are in a sum, and the model's shape.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from common.privacy.mechanism import PrivateOptimizer, set_empty
from common.privacy.shared.discrete_gaussian import discrete_gaussian
from common.privacy.shared.grid import Grid, wrapped
from common.privacy.stream import SecretStream


class GridSum(PrivateOptimizer):
    """An optimizer that never steps: it clips and sums, as ``PrivateOptimizer``, but in whole numbers.

    Args:
        parameters: whose ``grad_sample`` is ``(units, …)`` after each backward pass.
        grid: of the round.
        stream: where the noise comes from.
    """

    def __init__(self, parameters: list[nn.Parameter], grid: Grid, stream: SecretStream) -> None:
        super().__init__(
            torch.optim.SGD(parameters, 1.0),
            noise_multiplier=0.0,
            max_grad_norm=grid.max_grad_norm,
            expected_batch_size=1.0,
            stream=stream,
        )
        self.grid = grid

    def clip_and_accumulate(self) -> None:
        """Add this micro-batch's clipped gradients to the sum."""
        sums = self.grid.counted(self.grad_samples)
        for parameter, more in zip(self.params, sums, strict=True):
            before: Tensor | None = parameter.summed_grad
            parameter.summed_grad = more if before is None else before + more

    def noised(self, variance: int) -> list[Tensor]:
        """The sum with this site's noise, a parameter each, int32 as known modulo 2^32; then forget it.

        Args:
            variance: of the noise, by ``Grid.variance``.
        """
        set_empty(self.params)
        self.clip_and_accumulate()
        noise = discrete_gaussian(self.stream, variance, self.grid.entries)
        parts = np.split(noise, np.cumsum([math.prod(p.shape) for p in self.params])[:-1])
        told = [self._told(parameter, own) for parameter, own in zip(self.params, parts, strict=True)]
        self.zero_grad(set_to_none=True)
        return told

    @staticmethod
    def _told(parameter: nn.Parameter, noise: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Tensor:
        summed: Tensor = parameter.summed_grad  # type: ignore[attr-defined]
        whole = summed.cpu().numpy() + noise.reshape(parameter.shape)
        parameter.summed_grad = None  # type: ignore[attr-defined]
        return torch.from_numpy(wrapped(whole).astype(np.int32))
