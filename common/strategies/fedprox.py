"""FedProx (Li et al. 2020): a site's loss grows with the distance to the global model, by a weight that it is sent.

What a site does with the weight is part of its loss: ``proximal_mu`` of ``common.learning.training.train``, and of its
private counterpart. The server averages.
"""

from __future__ import annotations

from common.protocol import PROXIMAL_MU
from common.strategies.contract import Strategy

FEDPROX = Strategy(name="fedprox", title="FedProx", tells={PROXIMAL_MU: "proximal_mu"})
