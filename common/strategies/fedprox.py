"""FedProx (Li et al. 2020): a site's loss grows with the distance to the global model, by a weight that it is sent.

What a site does with the weight is part of its loss: ``proximal_mu`` of ``common.learning.training.train``, and of its private
counterpart. The server averages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from common.protocol import PROXIMAL_MU
from common.strategies.contract import Strategy

if TYPE_CHECKING:
    from common.config.sections import FederationConfig


class FedProx(Strategy):
    """See above."""

    def settings(self, config: FederationConfig) -> dict[str, float]:
        """The weight of half the squared distance."""
        return {PROXIMAL_MU: config.proximal_mu}


FEDPROX = FedProx(name="fedprox", title="FedProx")
