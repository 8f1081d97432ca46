"""The catalogue of strategies.

Those of one line differ at the server alone, where Flower's own class does what they do: ``server.rounds.strategy``.
"""

from __future__ import annotations

from common.strategies.contract import Strategy
from common.strategies.fedprox import FEDPROX
from common.strategies.scaffold import SCAFFOLD

CATALOGUE = {
    strategy.name: strategy
    for strategy in (
        Strategy(name="fedavg", title="FedAvg"),
        FEDPROX,
        Strategy(name="fedavgm", title="FedAvgM"),
        Strategy(name="fedadam", title="FedAdam"),
        Strategy(name="fedyogi", title="FedYogi"),
        Strategy(name="fedmedian", title="the coordinate-wise median", holds_all=True),
        Strategy(name="fedtrimmedavg", title="the trimmed mean", holds_all=True),
        Strategy(name="krum", title="Krum", holds_all=True),
        Strategy(name="multikrum", title="Multi-Krum", holds_all=True),
        SCAFFOLD,
    )
}
