"""What the server of a private run tells the sites of their ledgers, and what they tell it.

With the unit ``utterance`` or ``speaker`` the sites add the noise, and the server is trusted with nothing: all that
reaches it is noisy already. With the unit ``site`` see ``server.rounds.central_dp``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.config.settings import Config
from common.errors import FederationError, UsageError
from common.messages import schema
from common.messages.fields import Misfit, read_fields
from common.messages.scope import Scope
from server.messages.exchange import exchange
from server.messages.rejections import Refused, costing, failure, refuse
from server.records.fold_record import LedgerFigures, PrivacyAccount
from server.run.checkpoint import State
from server.sites.handshake import Node

log = logging.getLogger("fedser.server")
LIVE = ("epsilon", "epsilon_total", "budget")  # of the figures, those that are shown while a run goes on


def about(state: State, site: str) -> ConfigRecord:
    """What a site must know to keep its records: the run, and what it last told of its ledger and its audit log."""
    settings: dict[str, Any] = {protocol.RUN: state.run} if state.run else {}
    if state.run:
        settings |= _head(state.heads.get(site, (0, "")), protocol.LEDGER_ENTRIES, protocol.LEDGER_HASH)
    if site in state.audits:
        settings |= _head(state.audits[site], protocol.AUDIT_ENTRIES, protocol.AUDIT_HASH)
    return ConfigRecord(settings)


def _head(head: tuple[int, str], entries: str, digest: str) -> dict[str, Any]:
    return {entries: head[0], digest: head[1]}


def hear(state: State, site: str, reply: Message) -> None:
    """Note how far a site's ledger and its audit log are, where it says so as it should.

    Also of an update that is refused: the site has spent on it.

    Args:
        state: of the run; it is changed.
        site: whose reply it is.
        reply: as it came.
    """
    record = _config_record(reply)
    for head, heads in ((schema.LEDGER_HEAD, state.heads), (schema.AUDIT_HEAD, state.audits)):
        with contextlib.suppress(Misfit):
            entries, digest = read_fields("its", {key: record[key] for key in head if key in record}, head).values()
            heads[site] = (entries, digest)


def says_stopped(reply: Message) -> bool:
    """Whether a sound reply says that the site is out of budget."""
    return protocol.STOPPED in _config_record(reply)


def stop(state: State, site: str, reply: Message) -> None:
    """Note, and say, that a site that says so takes no more part.

    Args:
        state: of the run; it is changed.
        site: its name.
        reply: that says it.
    """
    state.stopped.append(site)
    log.warning("%s: %s; the others go on", site, why_stopped(reply))


def why_stopped(reply: Message) -> str:
    """Why a site that says so takes no more part, in a few words."""
    cut_short = protocol.CUT_SHORT in _config_record(reply)
    return "too many of its rounds were cut short, it is out of the run" if cut_short else "out of budget"


def _config_record(reply: Message) -> Mapping[str, Any]:
    """The ``CONFIG`` of a reply; nothing where it has none."""
    return {} if reply.has_error() else reply.content.config_records.get(protocol.CONFIG) or {}


def spent_so_far(reply: Message) -> dict[str, float | str]:
    """``LIVE``, as a private site told it with its sound update; nothing where it keeps that to itself."""
    figures = json.loads(str(_config_record(reply).get(protocol.FIGURES, "{}")))
    found = {name: figures.get(name) for name in LIVE}
    told: dict[str, float | str] = {
        name: float(value) for name, value in found.items() if value is not None and value < math.inf
    }
    unit = figures.get("budget_unit")
    return {**told, "budget_unit": unit} if unit is not None and told else told


def refuse_unaccounted(config: Config, run_config: Mapping[str, Any]) -> None:
    """Refuse a private run without a place for its ledgers: what is spent would be forgotten.

    Raises:
        UsageError: it has none.
    """
    if config.privacy.on and not run_config.get(protocol.LEDGER):
        raise UsageError(
            "the run is private and has no ledger, expected a folder that keeps what is spent; start it with fedser "
            "simulate, or fedser federation run"
        )


def account(config: Config, sites: Mapping[str, Any]) -> PrivacyAccount:
    """The ``privacy`` entry of a fold, from what the sites' ledgers, or the server's own, say."""
    privacy = config.privacy
    return PrivacyAccount(
        unit=privacy.unit,
        target_epsilon=privacy.epsilon if privacy.epsilon < math.inf else None,
        max_grad_norm=privacy.max_grad_norm,
        accountant="prv",
        insecure_seed=privacy.insecure_seed,
        sites={site: LedgerFigures.from_json(own) for site, own in sites.items()},
        honest=privacy.honest if privacy.shared else None,
    )


def site_figures(
    grid: Grid, config: Config, nodes: Sequence[Node], state: State, refused: Refused, *, whole: bool
) -> dict[str, Any]:
    """What each site's ledger says of the run, by site; null for one that did not say it.

    Args:
        grid: Flower's way to the nodes.
        config: of the run.
        nodes: all that take part.
        state: after the last round.
        refused: the sites whose account is not taken are added, with the reason.
        whole: every account must be there, as in a simulation, where all of it is ours.

    Raises:
        FederationError: one is not, though all must be.
    """
    messages = [Message(RecordDict({protocol.CONFIG: about(state, n.site)}), n.id, protocol.PRIVACY) for n in nodes]
    names = {node.id: node.site for node in nodes}
    told: dict[str, Any] = {}
    for reply in exchange(grid, messages, config.federation.round_timeout):
        site = names[reply.metadata.src_node_id]
        if reply.has_error():
            refuse(site, "account of its privacy", failure(reply), refused)
            continue
        with costing(site, "account of its privacy", refused):
            said = schema.read_reply(protocol.PRIVACY, Scope.of(config), reply.content)
            told[site] = said[protocol.CONFIG][protocol.FIGURES]
    lost = sorted(set(names.values()) - set(told))
    if lost and whole:
        raise FederationError(f"no account of the privacy spent from {', '.join(lost)}; go on with --resume")
    if lost:
        log.warning("what was spent is not known of %s: no account of it came at the end", ", ".join(lost))
    unknown = dict.fromkeys(schema.FIGURES) | {"delta": config.privacy.delta}
    told |= {site: {**unknown, "stopped": site in state.stopped} for site in lost}
    return dict(sorted(told.items()))
