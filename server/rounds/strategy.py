"""Flower's strategies, fed with what fedser has already screened and, for those that average, already summed.

A strategy that averages gets one reply a round: the sites' weighted mean, summed in float64 in the order of the sites'
names while the replies come in. So the result doesn't depend on who answers first, and the server's memory doesn't
grow with the number of sites. The median, the trimmed mean and Krum need every update at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
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

from common.config.kinds import CENTRE
from common.config.settings import HOLDS_ALL, FederationConfig
from common.protocol import ARRAYS, EXAMPLES, METRICS

Arrays = dict[str, np.ndarray[Any, Any]]
Merge = Callable[[Iterable[Message], Arrays], Iterator[Message]]
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


def aggregate(
    strategy: FedAvg,
    config: FederationConfig,
    round_number: int,
    replies: Iterable[Message],
    like: Arrays,
    merge: Merge | None = None,
) -> Arrays | None:
    """The new global model of a round; None where no reply came.

    Args:
        strategy: from ``make``.
        config: names it.
        round_number: from 1.
        replies: screened, in the order of the sites' names.
        like: the global model; the new one gets its types, which some strategies widen.
        merge: makes one reply of all; by default the weighted mean, the noisy one where a site is what is hidden.
    """
    if merge is not None:
        merged = list(merge(replies, like))
    else:
        merged = list(replies) if config.strategy in HOLDS_ALL else list(mean_reply(replies))
    centre = None if config.strategy in HOLDS_ALL or not merged else _centre(merged[0])
    arrays, _ = strategy.aggregate_train(round_number, merged)
    if arrays is None:
        return None
    found = {name: array.numpy().astype(like[name].dtype) for name, array in arrays.items()}
    return found if centre is None else {**found, CENTRE: centre}


def _centre(mean: Message) -> np.ndarray[Any, Any] | None:
    """The mean of the sites' centres: a server's momentum or adaptive rate would carry it past where they put it."""
    array = mean.content.array_records[ARRAYS].get(CENTRE)
    return None if array is None else array.numpy().copy()


def mean_reply(replies: Iterable[Message]) -> Iterator[Message]:
    """One reply that carries the mean of all, weighted by their examples; none where there are none."""
    sums: Arrays = {}
    dtypes: dict[str, Any] = {}
    weight, first = 0.0, None
    for reply in replies:
        first = first or reply
        examples = float(str(reply.content.metric_records[METRICS][EXAMPLES]))
        weight += examples
        for name, array in reply.content.array_records[ARRAYS].items():
            values = array.numpy()
            dtypes.setdefault(name, values.dtype)
            term = values.astype(np.float64) * examples
            if name in sums:
                sums[name] += term
            else:
                sums[name] = term
        reply.content.array_records[ARRAYS].clear()  # records hold cycles: their memory would wait for the collector
    if first is not None:
        mean = {name: Array((sums[name] / weight).astype(dtypes[name])) for name in sorted(sums)}
        metrics = MetricRecord({EXAMPLES: 1.0})
        first.content = RecordDict({ARRAYS: ArrayRecord(mean), METRICS: metrics})
        yield first


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
