"""How often each class occurs at all sites together, asked once before round 1, for class weights that all share.

Where each site weighs classes by its own counts, a class that is rare there weighs much there and little elsewhere, and
the sites' models are pulled apart; by the counts of all, one recording of a class weighs the same wherever it lies.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.errors import FederationError
from common.learning.training import inverse_shares
from common.messages import schema
from common.messages.fields import Misfit
from common.messages.scope import Scope
from server.messages.exchange import exchange
from server.messages.rejections import Refused, costing, failure, reasons, refuse
from server.run.checkpoint import Arrays
from server.sites.handshake import Node
from server.sites.shares import bounded, limited

log = logging.getLogger("fedser.server")
Counts = Mapping[str, Sequence[int]]


def pooled_weights(
    grid: Grid, nodes: Sequence[Node], classes: Sequence[str], timeout: float, refused: Refused, *, least: int
) -> Arrays:
    """Ask the training sites for their class counts, and make the weights of these together.

    Args:
        grid: Flower's way to the nodes.
        nodes: all that take part.
        classes: the run's.
        timeout: seconds to wait for their answers.
        refused: the sites whose counts are not taken are added, with the reason.
        least: so many must be there.

    Returns:
        The weights ``(classes,)``, as they go beside each round's model.

    Raises:
        FederationError: fewer are.
    """
    asked = {node.id: node for node in nodes}
    counts: dict[str, Sequence[int]] = {}
    messages = [Message(RecordDict({protocol.CONFIG: ConfigRecord()}), i, protocol.CLASSES_HELD) for i in asked]
    for reply in exchange(grid, messages, timeout):
        node = asked[reply.metadata.src_node_id]
        if reply.has_error():
            refuse(node.site, "class counts", failure(reply), refused)
            continue
        with costing(node.site, "class counts", refused):
            counts[node.site] = _counts(reply, node, len(classes))
    if len(counts) < least:
        raise FederationError(
            f"{len(counts)} of {len(nodes)} sites sent their class counts, expected at least {least}"
            f"{reasons(refused)}; use --class-weights own, or have the sites allow it (outbound.allow_class_counts)"
        )
    if lost := sorted({node.site for node in nodes} - set(counts)):
        log.warning("the classes are weighed without the counts of %s", ", ".join(lost))
    return {protocol.WEIGHTS: weights_of(counts, nodes)}


def weights_of(counts: Counts, nodes: Sequence[Node]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The inverse of each class's share of all sites' recordings, ``(classes,)``; a site counts for what it weighs.

    Args:
        counts: by site, in the order of the classes.
        nodes: all that take part.
    """
    weigh = bounded({site: sum(own) for site, own in counts.items()}, limited(nodes))
    parts = [np.array(counts[site]) * (weigh[site] / sum(counts[site])) for site in sorted(counts)]
    return weights_of_all(np.sum(parts, axis=0))


def weights_of_all(counts: npt.ArrayLike) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The inverse of each class's share, ``(classes,)``, of counts of all sites together."""
    return inverse_shares(torch.from_numpy(np.asarray(counts, np.float64))).numpy()


def _counts(reply: Message, node: Node, classes: int) -> list[int]:
    """The counts that a site sent.

    Raises:
        Misfit: they are none of so many classes, or of other recordings than the site trains on.
    """
    scope = Scope(class_count=classes)
    told = schema.read_reply(protocol.CLASSES_HELD, scope, reply.content)[protocol.METRICS][protocol.COUNTS]
    if (counted := sum(told)) != node.examples:
        raise Misfit(f"counts are of {counted} recordings, it said that it trains on {node.examples}")
    return list(told)
