"""The sites of a run: who they are, what they hold, and whether they agree, before the first round."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.data.normalise import Sums
from common.errors import FederationError, UsageError
from common.messages import schema
from common.messages.fields import Misfit
from common.messages.scope import Scope
from server.messages.exchange import exchange
from server.messages.rejections import Refused, by_policy, failure, refuse, short
from server.sites import handshake
from server.sites.compatibility import SiteTraits, agree
from server.sites.handshake import Node

log = logging.getLogger("fedser.server")
HELLO_TIMEOUT = 600.0
NOBODY = "no site's policy allows this run"  # how the refusal begins that is the coordinator's own mistake
DOMINANT = 0.9  # of all recordings: the share of one site that is worth a word


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """How the sites are met.

    Attributes:
        classes: the run's.
        expected: how many sites must be there.
        registered: by Flower's number of a node the name under which its key was registered; empty in a simulation,
            where there are no keys.
        private: whether the run is: then no site tells which classes it lacks.
        strict: whether any difference between sites ends the run.
        timeout: seconds to wait for sites to come, and again for their answers.
    """

    classes: Sequence[str]
    expected: int
    registered: Mapping[int, str]
    private: bool = False
    strict: bool = False
    timeout: float = HELLO_TIMEOUT


def meet(grid: Grid, meeting: Meeting, refused: Refused) -> list[Node]:
    """Wait for the sites, ask each what it is, and compare.

    Args:
        grid: Flower's way to the nodes.
        meeting: how they are met.
        refused: the sites that do not take part are added, with the reason.

    Returns:
        The nodes, sorted by the sites' names.

    Raises:
        UsageError: every site's policy refuses the run.
        FederationError: too few sites in time, one that failed, two of a name, one that answers under another's name,
            or sites that differ (named).
    """
    ids = _wait(grid, meeting)
    messages = [Message(RecordDict({protocol.CONFIG: ConfigRecord()}), i, protocol.HELLO) for i in ids]
    forbidden: Refused = {}
    sound = []
    for reply in exchange(grid, messages, meeting.timeout):
        if (answer := _answer(reply, meeting, refused)) is not None:
            sound.append(answer)
        elif by_policy(reply) and (site := meeting.registered.get(reply.metadata.src_node_id)):
            forbidden[site] = refused[site]
    if len(forbidden) == len(ids):
        raise UsageError(f"{NOBODY}{_reasons(forbidden)}; nothing of it ran there: change the run, or ask the sites")
    if len(sound) < meeting.expected:
        raise FederationError(
            f"{len(sound)} of {meeting.expected} sites take part: the others refused, failed, or said nothing for "
            f"{meeting.timeout:.0f} s{_reasons(refused)}; their own logs say why"
        )
    for node, _ in sound:
        _check_key(node, meeting)
    names = [node.site for node, _ in sound]
    if len(set(names)) < len(names):
        raise FederationError(f"two sites have one name: {', '.join(sorted(names))}")
    agree({node.site: terms for node, terms in sound}, meeting.classes, strict=meeting.strict)
    nodes = sorted((node for node, _ in sound), key=lambda node: node.site)
    if meeting.registered:
        _warn_of_weight(nodes)
    return nodes


def _wait(grid: Grid, meeting: Meeting) -> list[int]:
    deadline = time.monotonic() + meeting.timeout
    while len(ids := sorted(grid.get_node_ids())) < meeting.expected:
        if time.monotonic() > deadline:
            raise FederationError(
                f"{len(ids)} of {meeting.expected} sites are connected after {meeting.timeout:.0f} s; "
                "start the others, or ask for fewer with --sites"
            )
        time.sleep(0.2)
    return ids


def _answer(reply: Message, meeting: Meeting, refused: Refused) -> tuple[Node, SiteTraits] | None:
    """What a site says of itself; None where it can't take part.

    Raises:
        FederationError: it can't, in a simulation or a strict run; in other deployments the run goes on without it.
    """
    number = reply.metadata.src_node_id
    site = meeting.registered.get(number, "a site")
    try:
        if not reply.has_error():
            return handshake.read(reply, Scope(private=meeting.private))
        why = failure(reply)
    except FederationError as error:
        why = str(error)
        if meeting.strict:
            raise FederationError(f"--strict: {site} does not take part: {short(why)}") from None
    if not meeting.registered:
        raise FederationError(f"{site} could not start ({short(why)})")
    refused[site] = short(why)
    log.warning("%s does not take part: %s", site, refused[site])
    return None


def _reasons(refused: Refused) -> str:
    return f" ({'; '.join(f'{site}: {why}' for site, why in sorted(refused.items()))})" if refused else ""


def _check_key(node: Node, meeting: Meeting) -> None:
    """Refuse a site that answers under another's name."""
    if meeting.registered and meeting.registered.get(node.id) != node.site:
        owner = meeting.registered.get(node.id, "no site of this federation")
        raise FederationError(f"a site calls itself {node.site}, but its key is that of {owner}; see to its site.toml")


def _warn_of_weight(nodes: Sequence[Node]) -> None:
    """Say so where one site's count makes it nearly the whole mean: nobody but the site can count."""
    total = sum(node.examples for node in nodes)
    for node in nodes:
        if len(nodes) > 1 and node.examples > DOMINANT * total:
            log.warning(
                "%s says that it has %d of all %d to train on: the model will be nearly its own; ask it if that is so",
                *(node.site, node.examples, total),
            )


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
        try:
            sums[node.site] = _sums(reply, node.features)
        except Misfit as misfit:
            refuse(node.site, "sums of features", f"its {misfit}", refused)
    if len(sums) < least:
        raise FederationError(
            f"{len(sums)} of {len(nodes)} sites sent the sums of their features, expected at least {least}"
            f"{_reasons(refused)}; their own logs say why"
        )
    if lost := sorted({node.site for node in nodes} - set(sums)):
        log.warning("the features are scaled without the sums of %s", ", ".join(lost))
    return Sums(
        frames=sum(s.frames for s in sums.values()),
        total=torch.stack([s.total for s in sums.values()]).sum(0),
        square=torch.stack([s.square for s in sums.values()]).sum(0),
    )


def _sums(reply: Message, features: int) -> Sums:
    """The sums that a site sent.

    Raises:
        Misfit: they are none of so many features.
    """
    values = schema.read_reply(protocol.STATISTICS, Scope(features=features), reply.content)
    total, square = (torch.from_numpy(values[protocol.ARRAYS][name].copy()) for name in ("total", "square"))
    return Sums(frames=values[protocol.METRICS][protocol.FRAMES], total=total, square=square)
