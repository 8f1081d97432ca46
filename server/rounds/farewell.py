"""The end of a run whose strategy keeps something at the sites: each is told, and forgets it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from server.messages.exchange import exchange
from server.run import checkpoint
from server.run.checkpoint import State
from server.sites.handshake import Node

log = logging.getLogger("fedser.server")
PATIENCE = 60.0  # seconds: the run is done, and nothing of it depends on the answers


def say_farewell(grid: Grid, nodes: Sequence[Node], state: State, folder: Path, timeout: float) -> None:
    """Tell the sites that are there that a run is over; one that is not keeps its state until later runs have come.

    Args:
        grid: Flower's way to the nodes.
        nodes: all that took part.
        state: of the run, after its last round; its checkpoint is kept anew first, and no longer asks for the sites'
            states: a kill from then on finds nothing missing.
        folder: of the checkpoint.
        timeout: seconds that a round waits; at most ``PATIENCE`` here.
    """
    state.kept = {}
    checkpoint.save(state, folder / "checkpoint.safetensors")
    there = set(grid.get_node_ids())
    content = {protocol.CONFIG: ConfigRecord({protocol.RUN: state.run})}
    messages = [Message(RecordDict(dict(content)), node.id, protocol.HELLO) for node in nodes if node.id in there]
    replies = exchange(grid, messages, min(timeout, PATIENCE))
    heard = {reply.metadata.src_node_id for reply in replies if not reply.has_error()}
    if silent := sorted(node.site for node in nodes if node.id not in heard):
        log.warning("not told of the run's end: %s; what they keep for its strategy stays for now", ", ".join(silent))
