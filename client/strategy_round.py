"""A strategy's part in a site's round: it reads the server's arrays and the site's state, and keeps the new state.

The state is on the disk before the reply leaves. It is never in a reply but through the records that the strategy
declares.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from flwr.app import Array, ArrayRecord, Message
from torch import Tensor, nn

from client.site import Site
from common import protocol
from common.errors import FedserError
from common.storage.state_store import StateStore
from common.strategies.available import CATALOGUE
from common.strategies.contract import Local, Steps

log = logging.getLogger("fedser.client")


class StrategyRound:
    """A site's round under a run's strategy.

    Args:
        site: whose it is.
        message: the server's.
        turn: the pass and the round's number in it, as ``Site.pass_round`` has them.
        rate: the learning rate of the round.

    Raises:
        FedserError: the server did not send what the strategy needs, or what was kept cannot be read.
    """

    def __init__(self, site: Site, message: Message, turn: tuple[str, int], rate: float) -> None:
        self._site, self._turn = site, turn
        declared = CATALOGUE[site.config.federation.strategy]
        sent = {name: tensors(message, name) for name in declared.down}
        asked = message.content.config_records[protocol.CONFIG]
        self._store = store(site, str(asked.get(protocol.RUN, ""))) if declared.keeps else None
        self._taken = int(str(asked.get(protocol.TAKEN, turn[1] - 1)))
        kept = self._recall()
        start = tensors(message, protocol.ARRAYS)
        self.steps: Steps | None = declared.begin(Local(start=start, sent=sent, kept=kept, rate=rate))

    def end(self, model: nn.Module) -> dict[str, ArrayRecord]:
        """Keep what is to be kept, and say what goes beside the update."""
        if self.steps is None:
            return {}
        ended = self.steps.end(model)
        if self._store is not None:
            kept = {name: tensor.numpy() for name, tensor in ended.kept.items()}
            self._store.keep(*self._turn, kept, start=self._taken)
        return {name: _record(arrays) for name, arrays in ended.told.items()}

    def _recall(self) -> dict[str, Tensor]:
        """What the site kept of the round whose update was taken last, for the server knows of no other.

        It says so where that should be something and is nothing.
        """
        if self._store is None:
            return {}
        kept = self._store.before(self._turn[0], self._taken + 1)
        if not kept and self._taken:
            log.warning(
                "site %s: nothing is kept of round %d of the pass, whose update was taken: the disk is new; the site's "
                "part in the strategy begins anew",
                *(self._site.name, self._taken),
            )
        return {name: torch.from_numpy(values) for name, values in kept.items()}


def store(site: Site, run: str) -> StateStore:
    """Where a site keeps what a run's strategy needs from round to round.

    Raises:
        FedserError: the server names no run.
    """
    if not run:
        raise FedserError(f"site {site.name}: the server names no run, and the site can keep nothing for it")
    return StateStore(site.holding.state, site.name, run)


def tensors(message: Message, record: str) -> dict[str, Tensor]:
    """A record's arrays, of which the message shares nothing.

    Raises:
        FedserError: the message has no such record.
    """
    arrays = message.content.array_records.get(record)
    if arrays is None:
        raise FedserError(f"the server sent no {record!r} to train with")
    return {name: torch.from_numpy(array.numpy().copy()) for name, array in arrays.items()}


def _record(arrays: Mapping[str, Tensor]) -> ArrayRecord:
    return ArrayRecord({name: Array(tensor.numpy()) for name, tensor in arrays.items()})
