"""What a site is asked to score, and what is taken for an answer: counts, and nothing that is none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import metrics, protocol
from common.config import Config
from server.checkpoint import Arrays, State
from server.exchange import exchange
from server.nodes import Node

log = logging.getLogger("fedser.server")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a site sent of an evaluation: ``confusion (groups, classes, classes)``, the summed loss, the examples."""

    confusion: metrics.Confusion
    loss: float
    examples: int


def ask(
    grid: Grid, config: Config, state: State, nodes: Sequence[Node], message_type: str, arrays: Arrays
) -> dict[str, Counts]:
    """Have nodes evaluate a model; by site, those that answered."""
    content = RecordDict(
        {
            protocol.ARRAYS: record(arrays),
            protocol.SCALING: record(state.scaling),
            protocol.CONFIG: ConfigRecord({protocol.ROUND: state.round}),
        }
    )
    names = {node.id: node.site for node in nodes}
    messages = [Message(content, node.id, message_type) for node in nodes]
    counts: dict[str, Counts] = {}
    for reply in exchange(grid, messages, config.federation.round_timeout):
        site = names[reply.metadata.src_node_id]
        if reply.has_error():
            log.warning("%s: no evaluation: %s", site, reply.error.reason)
            continue
        sound = _counts(reply, state.arrays["classifier.bias"].shape[0])
        if sound is None:
            log.warning("%s: evaluation refused: no sound confusion counts", site)
        else:
            counts[site] = sound
    return counts


def _counts(reply: Message, classes: int) -> Counts | None:
    """The counts of an evaluation's reply; None where they are no counts."""
    try:
        told: Any = reply.content.metric_records[protocol.METRICS]
        confusion = np.array(told[protocol.CONFUSION], dtype=np.int64).reshape(-1, classes, classes)
        loss, examples = float(told[protocol.LOSS]), int(told[protocol.EXAMPLES])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    sound = examples > 0 and confusion.min() >= 0 and confusion.sum() == examples
    return Counts(confusion=confusion, loss=loss, examples=examples) if sound else None


def record(arrays: Arrays) -> ArrayRecord:
    """Arrays as Flower sends them, sorted by name: some of its strategies pair arrays by their place."""
    return ArrayRecord({name: Array(arrays[name]) for name in sorted(arrays)})
