"""Flower's strategies, fed with what fedser has already screened and, for those that average, already summed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Message
from flwr.serverapp.strategy import (
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
)

from common.config.settings import HOLDS_ALL, FederationConfig
from common.learning.centring import CENTRE
from common.protocol import ARRAYS
from server.rounds.gathering import Arrays, Every, Gathered, Mean

_STATE = ("m_t", "v_t", "momentum_vector")


def make(config: FederationConfig) -> FedAvg:
    """Flower's strategy of that name; which sites take part is decided by ``server.rounds.loop``."""
    common: dict[str, Any] = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}
    rate = config.server_learning_rate
    eta: dict[str, Any] = {"eta": rate} if rate else {}
    makers: dict[str, Any] = {
        "fedavg": lambda: FedAvg(**common),
        "fedprox": lambda: FedProx(**common, proximal_mu=config.proximal_mu),
        "fedavgm": lambda: FedAvgM(**common, server_learning_rate=rate or 1.0, server_momentum=config.server_momentum),
        "fedadam": lambda: FedAdam(**common, **eta),
        "fedyogi": lambda: FedYogi(**common, **eta),
        "fedmedian": lambda: FedMedian(**common),
        "fedtrimmedavg": lambda: FedTrimmedAvg(**common, beta=config.trim),
        "krum": lambda: Krum(**common, num_malicious_nodes=config.malicious),
    }
    strategy: FedAvg = makers[config.strategy]()
    return strategy


def gathered(config: FederationConfig) -> Gathered:
    """What a round's updates are gathered in."""
    return Every() if config.strategy in HOLDS_ALL else Mean()


def aggregate(
    strategy: FedAvg, config: FederationConfig, round_number: int, updates: Gathered, like: Arrays
) -> Arrays | None:
    """The new global model of a round; None where no update came.

    Args:
        strategy: from ``make``.
        config: names it.
        round_number: from 1.
        updates: screened, gathered in the order of the sites' names.
        like: the global model; the new one gets its types, which some strategies widen.
    """
    replies = updates.replies()
    centre = None if config.strategy in HOLDS_ALL or not replies else _centre(replies[0])
    arrays, _ = strategy.aggregate_train(round_number, replies)
    if arrays is None:
        return None
    found = {name: array.numpy().astype(like[name].dtype) for name, array in arrays.items()}
    return found if centre is None else {**found, CENTRE: centre}


def _centre(mean: Message) -> np.ndarray[Any, Any] | None:
    """The mean of the sites' centres: a server's momentum or adaptive rate would carry it past where they put it."""
    array = mean.content.array_records[ARRAYS].get(CENTRE)
    return None if array is None else array.numpy().copy()


def state(strategy: FedAvg) -> Arrays:
    """What a strategy remembers from round to round, for a checkpoint."""
    arrays: Arrays = {}
    for name in _STATE:
        value = getattr(strategy, name, None)
        if value is not None:
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            arrays |= {f"{name}/{key}": item for key, item in items}
    return arrays


def restore(strategy: FedAvg, arrays: Arrays) -> None:
    """Put back what ``state`` took."""
    for name in _STATE:
        own = {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}
        if own:
            as_list = name == "momentum_vector"
            setattr(strategy, name, [own[str(i)] for i in range(len(own))] if as_list else own)
