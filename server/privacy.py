"""What the server of a private run tells the sites of their ledgers, and what they tell it.

With the unit ``utterance`` or ``speaker`` the sites add the noise, and the server is trusted with nothing: all that
reaches it is noisy already. With the unit ``site`` see ``server.site_unit``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.config import Config
from common.errors import FederationError
from server.checkpoint import State
from server.exchange import exchange
from server.nodes import Node


def about(state: State, site: str) -> ConfigRecord:
    """What a site must know to keep its records: the run, and what it last told of its ledger and its audit log."""
    told: dict[str, Any] = {protocol.RUN: state.run} if state.run else {}
    if state.run:
        told |= _head(state.heads.get(site, (0, "")), protocol.LEDGER_ENTRIES, protocol.LEDGER_HASH)
    if site in state.audits:
        told |= _head(state.audits[site], protocol.AUDIT_ENTRIES, protocol.AUDIT_HASH)
    return ConfigRecord(told)


def _head(head: tuple[int, str], entries: str, digest: str) -> dict[str, Any]:
    return {entries: head[0], digest: head[1]}


def hear(state: State, site: str, reply: Message) -> bool:
    """Note how far a site's ledger and its audit log are; whether it has stopped, out of budget."""
    if reply.has_error():
        return False
    told: Mapping[str, Any] = reply.content.config_records.get(protocol.CONFIG) or {}
    if protocol.LEDGER_HASH in told:
        state.heads[site] = (int(told[protocol.LEDGER_ENTRIES]), str(told[protocol.LEDGER_HASH]))
    if protocol.AUDIT_HASH in told:
        state.audits[site] = (int(told[protocol.AUDIT_ENTRIES]), str(told[protocol.AUDIT_HASH]))
    if told.get(protocol.STOPPED):
        state.stopped.append(site)
        return True
    return False


def spent_so_far(reply: Message) -> dict[str, float]:
    """The ε and the budget that a private site told of with its update; nothing where it keeps them to itself."""
    told: Any = reply.content.config_records.get(protocol.CONFIG) or {}
    try:
        figures = json.loads(told.get(protocol.FIGURES, "{}"))
        found = {name: figures.get(name) for name in ("epsilon", "budget")}
        return {name: float(value) for name, value in found.items() if value is not None and 0 <= value < math.inf}
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        return {}


def account(config: Config, sites: Mapping[str, Any]) -> dict[str, Any]:
    """The ``privacy`` entry of a fold, from what the sites' ledgers, or the server's own, say."""
    privacy = config.privacy
    return {
        "unit": privacy.unit,
        "target_epsilon": privacy.epsilon if privacy.epsilon < math.inf else None,
        "max_grad_norm": privacy.max_grad_norm,
        "accountant": "prv",
        "insecure_seed": privacy.insecure_seed,
        "sites": dict(sites),
    }


def site_figures(grid: Grid, config: Config, nodes: Sequence[Node], state: State) -> dict[str, Any]:
    """What each site's ledger says of the run, by site.

    Raises:
        FederationError: a site did not answer.
    """
    messages = [Message(RecordDict({protocol.CONFIG: about(state, n.site)}), n.id, protocol.PRIVACY) for n in nodes]
    names = {node.id: node.site for node in nodes}
    told = {}
    for reply in exchange(grid, messages, config.federation.round_timeout):
        if not reply.has_error():
            figures = reply.content.config_records[protocol.CONFIG][protocol.FIGURES]
            told[names[reply.metadata.src_node_id]] = json.loads(str(figures))
    if lost := sorted(set(names.values()) - set(told)):
        raise FederationError(f"no account of the privacy spent from {', '.join(lost)}; go on with --resume")
    return dict(sorted(told.items()))
