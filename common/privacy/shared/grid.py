"""The grid on which a sum with shared noise is counted, and the noise that each site adds: of public numbers alone.

A gradient of d entries is told in steps of ``C / (500.5 √d)``, C the clipping norm. A unit's gradient is clipped to
500 √d steps, each entry is rounded to a whole number, which moves it by √d / 2 at most: by 0.1 %. So what a unit adds
is 500.5 √d steps long at most, which is C, rounding and all; and what all units add is summed as whole numbers, in
which no order and no digit is lost. To its sum each site adds a discrete Gaussian of variance ``(s C)² / M``, s being
the noise multiplier and M the number of sites that are taken for honest.

Sums are known modulo 2^32. They are right as long as all units' clipped entries and eight deviations of all sites'
noise fit, whatever is in the recordings; where that can't be, the run is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from common.errors import UsageError
from common.privacy.mechanism import clip_factors
from common.privacy.shared.discrete_gaussian import MOST_VARIANCE

MODULUS = 2**32
NORM = 500  # of a clipped gradient, in steps and roots of d; rounding adds half of one
LENGTH = NORM + 0.5
DEVIATIONS = 8
LEAST_VARIANCE = 16**2  # of one site's part, in steps: that a sum of such is no discrete Gaussian shows in no digit
_CLOSE = 1 - 1e-9  # so that no digit of floating point lets a unit add more

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Of one round.

    Attributes:
        entries: d, of the gradient that the round sums.
        max_grad_norm: C.
    """

    entries: int
    max_grad_norm: float

    @classmethod
    def of(cls, arrays: dict[str, Any], max_grad_norm: float) -> Self:
        """For a gradient of these arrays' or tensors' shapes."""
        return cls(entries=sum(math.prod(own.shape) for own in arrays.values()), max_grad_norm=max_grad_norm)

    @property
    def step(self) -> float:
        """How much one whole number stands for."""
        return self.max_grad_norm / (LENGTH * math.sqrt(self.entries))

    def counted(self, rows: list[Tensor]) -> list[Tensor]:
        """The sums of clipped gradients in whole numbers: a parameter each.

        Args:
            rows: ``(units, …)``, a parameter each; a unit whose gradient is not finite adds nothing.
        """
        own = [row.double() if row.dtype != torch.float64 else row.clone() for row in rows]
        factors = clip_factors(own, self.max_grad_norm * _CLOSE * NORM / LENGTH) / self.step
        return [(row.flatten(1) * factors[:, None]).round().long().sum(0).view(row.shape[1:]) for row in own]

    def variance(self, noise_multiplier: float, honest: int) -> int:
        """Of one site's noise, in steps; rounded up.

        Args:
            noise_multiplier: s.
            honest: M, how many sites' parts are ``noise_multiplier * max_grad_norm`` in all.

        Raises:
            UsageError: so little noise is none of whole numbers any more, or so much.
        """
        exact = Fraction(noise_multiplier) ** 2 * Fraction(LENGTH) ** 2 * self.entries / honest
        if not LEAST_VARIANCE <= exact <= MOST_VARIANCE:
            raise UsageError(
                f"shared noise of a noise multiplier of {noise_multiplier:g} is {math.sqrt(exact):.3g} steps of its "
                f"grid at each site, expected 16 to 2^42; give it {'more' if exact < 2**40 else 'less'} noise"
            )
        return math.ceil(exact)

    def refuse_overflow(self, units: int, variance: int, sites: int) -> None:
        """Refuse a sum that could be none of the numbers that are told apart.

        Args:
            units: of all sites together.
            variance: of each site's noise.
            sites: how many add it.

        Raises:
            UsageError: it could; how many units would fit is named.
        """
        noise = DEVIATIONS * math.sqrt(variance * sites)
        most = int((MODULUS / 2 - 1 - noise) / (LENGTH * math.sqrt(self.entries)))
        if units > most:
            raise UsageError(
                f"a sum with shared noise over {units} units and {self.entries} parameters may pass 2^31 steps of its "
                f"grid, expected at most {max(0, most)} units; take a smaller model, or --privacy-noise site"
            )


def wrapped(values: Whole) -> Whole:
    """Whole numbers as they are known modulo 2^32, from -2^31 on."""
    half = MODULUS // 2
    own: Whole = (values + half) % MODULUS - half
    return own
