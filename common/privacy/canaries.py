"""Canaries: made-up units whose gradients are chosen to be found, put in by an audit to see whether privacy holds.

Threat model (white box, the strongest that the guarantee is against): the auditor made the canaries, knows q, the
clipping norm and the claimed noise, and sees every step's noisy sum, but not which units were drawn. With SGD the
intermediate models show as much; whoever sees the models at the ends of rounds alone sees less.

A canary's gradient is Dirac's: one coordinate of the flat gradient, of a norm far above the clipping norm (Nasr et al.,
USENIX Security 2023; Steinke et al. 2023). Coordinates are distinct, so canaries are exactly orthogonal, their
products with a sum are single entries of it, and nothing is stored but their places; dense random directions of a model
of 93,000 parameters would take 370 MB for 1000 canaries and see each other. The recordings' own gradients are small at
most coordinates. An included canary is one more unit: each step's Poisson sample draws it with probability q, and it is
clipped like any other. Clipping that is off lets its whole norm through, and noise that is off leaves the sum bare:
both are found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from common.errors import UsageError
from common.privacy.stream import SecretStream
from common.seeds import numpy_generator, torch_generator
from common.validate import positive

_ROWS = 16  # canaries' dense gradients that are in memory at a time
_NORM = 1000.0  # a canary's norm before clipping, in clipping norms


def directions(count: int, parameters: int, seed: int) -> Tensor:
    """The coordinates ``(count,)``, distinct: canary i's direction is the unit vector of coordinate ``[i]``.

    Args:
        count: of canaries.
        parameters: of the model, all that are trained, flat and one after the other.
        seed: the same seed gives the same coordinates, at every site and in every round.

    Raises:
        UsageError: more canaries than parameters, or none.
    """
    if not 0 < count <= parameters:
        raise UsageError(f"{count} canaries in a model of {parameters} parameters, expected 1 to {parameters}")
    return torch.randperm(parameters, generator=torch_generator(seed, "canary coordinates"))[:count]


def coins(count: int, seed: int) -> Tensor:
    """Which canaries are included, ``(count,)`` booleans: each with probability 1/2, independent of ``directions``."""
    return torch.from_numpy(numpy_generator(seed, "canary coins").random(count) < 0.5)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The mechanism that is claimed, of which the likelihood of a step's sum follows.

    Attributes:
        sample_rate: q.
        noise_multiplier: above 0.
        max_grad_norm: the clipping norm.
    """

    sample_rate: float
    noise_multiplier: float
    max_grad_norm: float

    def log_ratio(self, entries: Tensor) -> Tensor:
        """The log-likelihood ratio of entries of one noisy sum: with the canary included against without it.

        Included, the canary adds C with probability q to noise of deviation s C: the ratio's logarithm is
        ``log(1 - q + q exp((x/C - 1/2) / s²))``. Summed over steps it is the most powerful score there is where other
        gradients are small beside the noise (Neyman & Pearson); the plain sum of entries is weaker where s is small.

        Args:
            entries: x, the noisy sums' entries at the canaries' coordinates.
        """
        exponent = (entries.double() / self.max_grad_norm - 0.5) / self.noise_multiplier**2
        drawn = math.log(self.sample_rate) + exponent
        return torch.logaddexp(torch.log1p(torch.tensor(-self.sample_rate, dtype=torch.float64)), drawn)


class Canaries:
    """The canaries of one site: puts them into DP-SGD's steps, and scores each from the noisy sums.

    Scores add up over steps and rounds. Canaries at several sites are one audit too: a unit is at one site, so the
    federation's ε is the largest of the sites', and the sites' scores and coins are joined end to end.

    Args:
        coordinates: of ``directions``.
        included: of ``coins``, or any ``(count,)`` booleans.
        parameters: of the model.
        claim: the mechanism that is claimed.
    """

    def __init__(self, *, coordinates: Tensor, included: Tensor, parameters: int, claim: Claim) -> None:
        positive("the claimed noise multiplier", claim.noise_multiplier)
        positive("the clipping norm", claim.max_grad_norm)
        positive("the sample rate", claim.sample_rate)
        if included.shape != coordinates.shape:
            raise UsageError(f"{len(included)} coins for {len(coordinates)} canaries")
        self.coordinates = coordinates
        self.included = included
        self.parameters = parameters
        self.claim = claim
        self.scores = torch.zeros(len(coordinates), dtype=torch.float64)

    def rows(self, stream: SecretStream, rate: float) -> Iterator[Tensor]:
        """The unclipped gradients ``(drawn, parameters)`` of a Poisson sample of those included, 16 at a time.

        Args:
            stream: the mechanism's own; the auditor doesn't learn what it draws.
            rate: the sample rate.
        """
        places = self.coordinates[self.included]
        for some in torch.split(places[stream.sample(len(places), rate)], _ROWS):
            if len(some):
                rows = torch.zeros(len(some), self.parameters)
                rows[torch.arange(len(some)), some] = _NORM * self.claim.max_grad_norm
                yield rows

    def see(self, noisy_sum: Tensor) -> None:
        """Add a step's evidence to ``scores``.

        Args:
            noisy_sum: ``(parameters,)``, the sum of clipped gradients and noise, before it is divided by anything.
        """
        entries = noisy_sum.detach().flatten()[self.coordinates.to(noisy_sum.device)].cpu()
        self.scores += self.claim.log_ratio(entries)
