"""The settings of a private run, with their defaults and their ranges; a section of ``common.config.settings``."""

from __future__ import annotations

import math
from dataclasses import dataclass

from common.config.units import UNITS, Unit
from common.errors import UsageError
from common.validate import in_range, one_of

CANARY_KINDS = ("gradients", "recordings")
NOISES = ("site", "shared")


@dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """Whether and how a run is differentially private; see ``common.privacy``.

    Attributes:
        unit: whose contribution is hidden: an ``utterance``'s, a ``speaker``'s or a ``site``'s.
        epsilon: what the run may tell of a unit; ``inf`` for no privacy, unless there is a ``noise_multiplier``.
        delta: the chance that it tells more.
        max_grad_norm: each unit's contribution is clipped to this L2 norm.
        noise_multiplier: the noise's deviation over ``max_grad_norm``; 0 to calibrate it to ``epsilon``.
        sample_rate: each unit's chance to be drawn in a step; 0 for ``training.batch_size`` over the number of units.
        noise: where its deviation is whole: at each ``site``, or ``shared``, in the sum of all sites' parts, of which
            nobody sees one alone.
        honest: of shared noise, how many sites' parts make it whole; 0 for all sites but one, as whoever plans the run
            writes here.
        multiplicity: altered copies of a recording that its gradient is the mean of (unit utterance).
        average: the share of the rounds, the last ones, whose mean is the model; 0 for the last round's model.
        max_physical_batch: recordings in memory at a time.
        max_seconds: of a recording that are used where sites add the noise, the first ones: what a step takes in memory
            and time is bounded without a look at the recordings.
        insecure_seed: draw noise and sample from ``seed``: reproducible, and not private.
        budget: what all runs on a site's people may tell in sum of one unit, at one δ; ``inf`` for no limit.
        canaries: made-up units that an audit puts in at each site.
        canary_kind: ``gradients``, crafted ones, or ``recordings``, real ones under wrong labels.
    """

    unit: str = "utterance"
    epsilon: float = math.inf
    delta: float = 1e-5
    max_grad_norm: float = 1.0
    noise_multiplier: float = 0.0
    sample_rate: float = 0.0
    noise: str = "site"
    honest: int = 0
    multiplicity: int = 1
    average: float = 0.0
    max_physical_batch: int = 64
    max_seconds: float = 60.0
    insecure_seed: bool = False
    budget: float = math.inf
    canaries: int = 0
    canary_kind: str = "gradients"

    def __post_init__(self) -> None:
        one_of("privacy.unit", self.unit, UNITS)
        in_range("privacy.epsilon", self.epsilon, 1e-6, math.inf)
        in_range("privacy.delta", self.delta, 1e-300, 0.1)
        in_range("privacy.max_grad_norm", self.max_grad_norm, 1e-9, 1e12)
        in_range("privacy.noise_multiplier", self.noise_multiplier, 0.0, 1e9)
        in_range("privacy.sample_rate", self.sample_rate, 0.0, 1.0)
        one_of("privacy.noise", self.noise, NOISES)
        in_range("privacy.honest", self.honest, 0, 10_000)
        in_range("privacy.multiplicity", self.multiplicity, 1, 1000)
        in_range("privacy.average", self.average, 0.0, 1.0)
        in_range("privacy.max_physical_batch", self.max_physical_batch, 1, 1_000_000)
        in_range("privacy.max_seconds", self.max_seconds, 1.0, 3600.0)
        in_range("privacy.budget", self.budget, 1e-6, math.inf)
        in_range("privacy.canaries", self.canaries, 0, 100_000)
        one_of("privacy.canary_kind", self.canary_kind, CANARY_KINDS)
        if self.noise_multiplier and self.epsilon < math.inf:
            raise UsageError("--epsilon and --noise-multiplier both set the noise; give one")

    @property
    def on(self) -> bool:
        """Whether anything is made private."""
        return self.epsilon < math.inf or self.noise_multiplier > 0

    @property
    def at_sites(self) -> bool:
        """Whether the sites add the noise."""
        return self.on and self.protects.at_sites

    @property
    def at_server(self) -> bool:
        """Whether a trusted server adds it."""
        return self.on and not self.protects.at_sites

    @property
    def shared(self) -> bool:
        """Whether the sites share one noise, and nobody may see less than the sum of all."""
        return self.on and self.noise == "shared"

    @property
    def longest(self) -> float:
        """Seconds of a recording that are used; ``inf`` for all."""
        return self.max_seconds if self.at_sites else math.inf

    @property
    def protects(self) -> Unit:
        """The unit, with what follows from it; in a run that is not private nothing does."""
        return UNITS[self.unit]
