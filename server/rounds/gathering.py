"""A round's updates, gathered one by one as they come, and what came of the round.

A strategy that averages gets one reply a round: the sites' weighted mean, summed in float64 in the order of the sites'
names. So the result doesn't depend on who answers first, and the server's memory doesn't grow with the number of sites.
The median, the trimmed mean and Krum need every update at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from common.protocol import ARRAYS, EXAMPLES, METRICS

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class GatheredRound:
    """The result of a round: the new global model, and what the sites sent.

    Attributes:
        arrays: the new global model; the old one where no site with a budget is left.
        norm: the median L2 norm of the sound updates; 0 where there is none.
        sites: by site, the entry of ``result.json``.
        loss: of the training, over all sites, where that is told of none.
        validation: of the model that came in, where that is told with the updates.
    """

    arrays: Arrays
    norm: float
    sites: dict[str, dict[str, Any]]
    loss: float | None = None
    validation: dict[str, Any] | None = None


class Averaged(Protocol):
    """What a strategy takes of a round."""

    def replies(self) -> list[Message]:
        """What the strategy gets; nothing where no update came."""

    def beside(self) -> dict[str, Arrays]:
        """By name, the mean of each record of arrays that came beside the model."""


class Gathered(Averaged, Protocol):
    """Sound updates, gathered as they come."""

    def add(self, reply: Message) -> None:
        """Take a site's update; the reply may lose its arrays."""


class Every:
    """Each update as it came."""

    def __init__(self) -> None:
        self._replies: list[Message] = []

    def add(self, reply: Message) -> None:
        """Take a site's update."""
        self._replies.append(reply)

    def replies(self) -> list[Message]:
        """All of them."""
        return self._replies

    def beside(self) -> dict[str, Arrays]:
        """Nothing: no strategy that needs every update has records beside the model."""
        return {}


class Mean:
    """The mean, each site weighted by its examples.

    Args:
        records: the names of the records of arrays: the model's, and those beside it.
    """

    def __init__(self, records: Sequence[str] = (ARRAYS,)) -> None:
        self._sums: dict[str, Arrays] = {name: {} for name in records}
        self._dtypes: dict[str, dict[str, Any]] = {name: {} for name in records}
        self._weight = 0.0
        self._first: Message | None = None

    def add(self, reply: Message) -> None:
        """Add a site's update; the reply loses its arrays."""
        self._first = self._first or reply
        examples = float(str(reply.content.metric_records[METRICS][EXAMPLES]))
        self._weight += examples
        for name, sums in self._sums.items():
            record = reply.content.array_records[name]
            for key, array in record.items():
                values = array.numpy()
                self._dtypes[name].setdefault(key, values.dtype)
                _add(sums, key, values.astype(np.float64) * examples)
            record.clear()  # records hold cycles: their memory would wait for the collector

    def replies(self) -> list[Message]:
        """One reply that carries the mean of all updates."""
        return [] if self._first is None else [carrying(self._mean(ARRAYS), self._first)]

    def beside(self) -> dict[str, Arrays]:
        """The means of the other records."""
        return {name: self._mean(name) for name in self._sums if name != ARRAYS}

    def _mean(self, record: str) -> Arrays:
        sums, dtypes = self._sums[record], self._dtypes[record]
        return {name: np.asarray(sums[name] / self._weight).astype(dtypes[name]) for name in sorted(sums)}


class Opened:
    """The mean of a sum that came behind masks, as the one update that there is.

    Args:
        mean: the new model.
        reply: of any site, whose place it takes.
    """

    def __init__(self, mean: Arrays, reply: Message) -> None:
        self._mean, self._reply = mean, reply

    def replies(self) -> list[Message]:
        """One, of the mean."""
        return [carrying(self._mean, self._reply)]

    def beside(self) -> dict[str, Arrays]:
        """Nothing: a strategy with records beside the model is not added up behind masks."""
        return {}


def _add(sums: Arrays, name: str, term: np.ndarray[Any, Any]) -> None:
    if name in sums:
        sums[name] += term
    else:
        sums[name] = term


def carrying(mean: Arrays, reply: Message) -> Message:
    """The reply with a mean in place of its own content, in the order of its arrays' names."""
    arrays = ArrayRecord({name: Array(mean[name]) for name in sorted(mean)})
    reply.content = RecordDict({ARRAYS: arrays, METRICS: MetricRecord({EXAMPLES: 1.0})})
    return reply
