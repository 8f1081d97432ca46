"""The sites of a run: who they are, what they hold, and whether they agree, before the first round."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.errors import FederationError
from common.normalise import Sums
from server.exchange import exchange

HELLO_TIMEOUT = 600.0


@dataclass(frozen=True, kw_only=True)
class Node:
    """A site as the server knows it.

    Attributes:
        id: Flower's number for it, random from run to run.
        site: its name, the stable one.
        features: of a frame.
        examples: recordings that it trains on.
        validation: recordings that it validates on.
        test: held-out recordings that it holds.
    """

    id: int
    site: str
    features: int
    examples: int
    validation: int
    test: int


def meet(grid: Grid, classes: Sequence[str], expected: int, timeout: float = HELLO_TIMEOUT) -> list[Node]:
    """Wait for the sites, ask each what it is, and compare.

    Returns:
        The nodes, sorted by the sites' names.

    Raises:
        FederationError: too few sites in time, one that failed, two of a name, or sites that differ (named).
    """
    deadline = time.monotonic() + timeout
    while len(ids := sorted(grid.get_node_ids())) < expected:
        if time.monotonic() > deadline:
            raise FederationError(f"{len(ids)} of {expected} sites are connected after {timeout:.0f} s")
        time.sleep(0.2)
    messages = [Message(RecordDict({protocol.CONFIG: ConfigRecord()}), i, protocol.HELLO) for i in ids]
    nodes = [_node(reply, classes) for reply in exchange(grid, messages, timeout)]
    if len(nodes) < expected:
        raise FederationError(f"{len(nodes)} of {expected} sites answered within {timeout:.0f} s")
    names = [node.site for node in nodes]
    if len(set(names)) < len(names):
        raise FederationError(f"two sites have one name: {', '.join(sorted(names))}")
    widths = {node.features: node.site for node in nodes}
    if len(widths) > 1:
        found = ", ".join(f"{site} has {width} features" for width, site in sorted(widths.items()))
        raise FederationError(f"the sites' features differ: {found}; give them the same settings")
    return sorted(nodes, key=lambda node: node.site)


def _node(reply: Message, classes: Sequence[str]) -> Node:
    if reply.has_error():
        raise FederationError(f"a site could not start ({reply.error.reason})")
    about: Any = reply.content.config_records[protocol.CONFIG]
    site = str(about[protocol.SITE])
    if about[protocol.PROTOCOL] != protocol.VERSION:
        raise FederationError(
            f"site {site} speaks protocol {about[protocol.PROTOCOL]}, this server {protocol.VERSION}; install the same "
            "fedser at both"
        )
    if list(about[protocol.CLASSES]) != list(classes):
        raise FederationError(f"site {site} has the classes {about[protocol.CLASSES]}, the run has {list(classes)}")
    return Node(
        id=reply.metadata.src_node_id,
        site=site,
        features=about[protocol.FEATURES],
        examples=about[protocol.EXAMPLES],
        validation=about[protocol.VALIDATION_EXAMPLES],
        test=about[protocol.TEST_EXAMPLES],
    )


def pooled_sums(grid: Grid, nodes: Sequence[Node], timeout: float) -> Sums:
    """The sums of all training sites' features, in the order of their names.

    Raises:
        FederationError: a site did not answer.
    """
    empty = RecordDict({protocol.CONFIG: ConfigRecord()})
    replies = exchange(grid, [Message(empty, node.id, protocol.STATISTICS) for node in nodes], timeout)
    sums = [_sums(reply) for reply in _sound(replies, len(nodes))]
    return Sums(
        frames=sum(s.frames for s in sums),
        total=torch.stack([s.total for s in sums]).sum(0),
        square=torch.stack([s.square for s in sums]).sum(0),
    )


def _sound(replies: Iterable[Message], expected: int) -> list[Message]:
    sound = [reply for reply in replies if not reply.has_error()]
    if len(sound) < expected:
        raise FederationError(f"{len(sound)} of {expected} sites sent the sums of their features")
    return sound


def _sums(reply: Message) -> Sums:
    arrays = reply.content.array_records[protocol.ARRAYS]
    frames = reply.content.metric_records[protocol.METRICS][protocol.FRAMES]
    total, square = (torch.from_numpy(np.array(arrays[name].numpy())) for name in ("total", "square"))
    return Sums(frames=int(str(frames)), total=total, square=square)
