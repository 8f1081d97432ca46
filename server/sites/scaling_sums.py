"""The sums of the sites' features, asked for once before round 1, for the scaling that all of them use."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.data.normalise import Sums
from common.errors import FederationError
from common.messages import schema
from common.messages.scope import Scope
from server.messages.exchange import exchange
from server.messages.rejections import Refused, costing, failure, reasons, refuse
from server.sites.handshake import Node
from server.sites.shares import pooled

log = logging.getLogger("fedser.server")


def gather_sums(grid: Grid, nodes: Sequence[Node], timeout: float, refused: Refused, *, least: int) -> Sums:
    """Ask the training sites for the sums of their features, and add them up in the order of the sites' names.

    Args:
        grid: Flower's way to the nodes.
        nodes: all that take part.
        timeout: seconds to wait for their answers.
        refused: the sites whose sums are not taken are added, with the reason.
        least: so many must be there.

    Raises:
        FederationError: fewer are.
    """
    empty = RecordDict({protocol.CONFIG: ConfigRecord()})
    asked = {node.id: node for node in nodes}
    sums: dict[str, Sums] = {}
    for reply in exchange(grid, [Message(empty, node.id, protocol.STATISTICS) for node in nodes], timeout):
        node = asked[reply.metadata.src_node_id]
        if reply.has_error():
            refuse(node.site, "sums of features", failure(reply), refused)
            continue
        with costing(node.site, "sums of features", refused):
            sums[node.site] = _sums(reply, node)
    if len(sums) < least:
        raise FederationError(
            f"{len(sums)} of {len(nodes)} sites sent the sums of their features, expected at least {least}"
            f"{reasons(refused)}; their own logs say why"
        )
    if lost := sorted({node.site for node in nodes} - set(sums)):
        log.warning("the features are scaled without the sums of %s", ", ".join(lost))
    return pooled(sums, nodes)


def _sums(reply: Message, node: Node) -> Sums:
    """The sums that a site sent.

    Raises:
        Misfit: they are none of so many features.
    """
    values = schema.read_reply(protocol.STATISTICS, Scope(features=node.features), reply.content)
    total, square = (torch.from_numpy(values[protocol.ARRAYS][name].copy()) for name in ("total", "square"))
    frames, matrices = (values[protocol.METRICS][name] for name in (protocol.FRAMES, protocol.MATRICES))
    count = node.examples
    return Sums(frames=frames, total=total, square=square, recordings=count, matrices=matrices * count)
