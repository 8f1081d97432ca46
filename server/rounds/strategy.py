"""A run's strategy at the server: Flower's, fed with what fedser has already screened and, mostly, already summed.

What a strategy sends beside the model, and what the server then remembers, ``common.strategies`` declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp.strategy import (
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
)

from common.config.kinds import CENTRE
from common.config.settings import FederationConfig
from common.errors import FederationError
from common.protocol import ARRAYS
from common.strategies.available import CATALOGUE
from server.rounds.gathering import Arrays, Averaged, Every, Gathered, Mean
from server.rounds.site_scores import record
from server.sites.robust import FEWEST, cut, selected

_FLOWERS = ("m_t", "v_t", "momentum_vector")  # what Flower's strategies remember
_OWN = "memory"
ADAPTIVE_RATE = 0.1  # of FedAdam and FedYogi, and Flower's: on inner folds better than 0.03 and 0.01; LOG.md


class Averaging:
    """Makes the new global models of a run.

    Args:
        config: names the strategy; which sites take part is decided by ``server.rounds.loop``.
        remembered: what ``state`` said after the last round.
    """

    def __init__(self, config: FederationConfig, remembered: Arrays | None = None) -> None:
        self.declared = CATALOGUE[config.strategy]
        self._config, self._flower = config, _flower(config)
        self._memory = _part(remembered or {}, _OWN)
        for name in _FLOWERS:
            if own := _part(remembered or {}, name):
                as_list = name == "momentum_vector"
                setattr(self._flower, name, [own[str(i)] for i in range(len(own))] if as_list else own)

    def messages(self, number: int, model: Arrays, ids: Sequence[int]) -> list[Message]:
        """A round's messages to nodes, each with records of its own, in the order of ``ids``.

        Args:
            number: of the round.
            model: the global one.
            ids: Flower's numbers of the nodes.
        """
        settings = self.declared.settings(self._config)
        made = self._flower.configure_train(number, record(model), ConfigRecord(settings), _Chosen(ids))  # type: ignore[arg-type]
        own = {message.metadata.dst_node_id: message for message in made}
        beside = {name: record(arrays) for name, arrays in self.declared.send(self._memory, model).items()}
        for message in own.values():  # Flower gives all messages one content
            message.content = RecordDict({**dict(message.content.items()), **beside})
        return [own[number] for number in ids]

    def gathered(self) -> Gathered:
        """What a round's updates are gathered in."""
        return Every() if self.declared.holds_all else Mean((ARRAYS, *self.declared.up))

    def aggregate(self, turn: int, updates: Averaged, like: Arrays, share: float = 1.0) -> Arrays | None:
        """The new global model of a round; None where no update came.

        Args:
            turn: the round's number in its pass, from 1.
            updates: screened, gathered in the order of the sites' names.
            like: the global model; the new one gets its types, which some strategies widen.
            share: of all sites' weight, that of those whose update was taken.
        """
        replies = updates.replies()
        centre = None if self.declared.holds_all or not replies else _centre(replies[0])
        _fit(self._flower, self._config, len(replies))
        arrays, _ = self._flower.aggregate_train(turn, replies)
        if arrays is None:
            return None
        if self.declared.up:
            self._memory = self.declared.remember(self._memory, updates.beside(), share)
        found = {name: array.numpy().astype(like[name].dtype) for name, array in arrays.items()}
        return found if centre is None else {**found, CENTRE: centre}

    def state(self) -> Arrays:
        """What is remembered from round to round, for a checkpoint."""
        arrays = {f"{_OWN}/{key}": item for key, item in self._memory.items()}
        for name in _FLOWERS:
            value = getattr(self._flower, name, None)
            if value is not None:
                items = value.items() if isinstance(value, Mapping) else enumerate(value)
                arrays |= {f"{name}/{key}": item for key, item in items}
        return arrays


def _flower(config: FederationConfig) -> FedAvg:
    """Flower's strategy of that name; FedAvg where it has none."""
    common: dict[str, Any] = {"min_train_nodes": 1, "min_evaluate_nodes": 1, "min_available_nodes": 1}
    rate = config.server_learning_rate
    eta: dict[str, Any] = {"eta": rate or ADAPTIVE_RATE}
    makers: dict[str, Any] = {
        "fedavgm": lambda: FedAvgM(**common, server_learning_rate=rate or 1.0, server_momentum=config.server_momentum),
        "fedadam": lambda: FedAdam(**common, **eta),
        "fedyogi": lambda: FedYogi(**common, **eta),
        "fedmedian": lambda: FedMedian(**common),
        "fedtrimmedavg": lambda: FedTrimmedAvg(**common),
        "krum": lambda: Krum(**common, num_malicious_nodes=config.malicious),
        "multikrum": lambda: MultiKrum(**common, num_malicious_nodes=config.malicious),
    }
    strategy: FedAvg = makers.get(config.strategy, lambda: FedAvg(**common))()
    return strategy


def _fit(flower: FedAvg, config: FederationConfig, updates: int) -> None:
    """Let a robust rule know how many updates came."""
    if isinstance(flower, FedTrimmedAvg) and updates:
        if updates < FEWEST:
            raise FederationError(
                f"{updates} sound updates, expected at least {FEWEST}: the trimmed mean leaves out one at each end"
            )
        flower.beta = (cut(config.trim, updates) + 0.25) / updates  # so that rounding decides nothing
    if isinstance(flower, MultiKrum) and not isinstance(flower, Krum):
        flower.num_nodes_to_select = selected(config.malicious, updates)


def _part(arrays: Arrays, name: str) -> Arrays:
    return {key.removeprefix(f"{name}/"): value for key, value in arrays.items() if key.startswith(f"{name}/")}


def _centre(mean: Message) -> np.ndarray[Any, Any] | None:
    """The mean of the sites' centres: a server's momentum or adaptive rate would carry it past where they put it."""
    array = mean.content.array_records[ARRAYS].get(CENTRE)
    return None if array is None else array.numpy().copy()


class _Chosen:
    """What Flower's strategies see of the grid: the nodes that take part in this round."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = ids

    def get_node_ids(self) -> Sequence[int]:
        return self.ids
