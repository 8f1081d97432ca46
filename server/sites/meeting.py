"""The sites of a run: who they are, what they hold, and whether they agree, before the first round."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.errors import FederationError, UsageError
from common.messages.scope import Scope
from server.messages.exchange import exchange
from server.messages.rejections import Refused, by_policy, failure, reasons, short, unreadable
from server.sites import handshake
from server.sites.compatibility import SiteTraits, agree, odd_widths, unfit
from server.sites.handshake import Node
from server.sites.shares import MOST_STEPS, SHARE, Agreement, bounded, limited

log = logging.getLogger("fedser.server")
HELLO_TIMEOUT = 600.0
NOBODY = "no site's policy allows this run"  # how the refusal begins that is the coordinator's own mistake
DOMINANT = 0.9  # of all recordings: the share of one site that is worth a word
Answer = tuple[Node, SiteTraits]


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """How the sites are met.

    Attributes:
        classes: the run's.
        expected: how many sites must be connected.
        least: how many of these must take part; all that must be connected where it is None.
        registered: by Flower's number of a node the name under which its key was registered; empty in a simulation,
            where there are no keys.
        private: whether the run is: then no site tells which classes it lacks.
        strict: whether any difference between sites ends the run.
        features: of a frame, by the run's settings; None in a simulation.
        agreed: by site, how much it is agreed to hold.
        speakers_train: whether sites count speakers to train on, and not recordings, as where these are hidden.
        encoder: SHA-256 of the public encoder in front of the model; empty for none.
        timeout: seconds to wait for sites to come, and again for their answers.
    """

    classes: Sequence[str]
    expected: int
    registered: Mapping[int, str]
    least: int | None = None
    private: bool = False
    strict: bool = False
    features: int | None = None
    agreed: Mapping[str, Agreement] = field(default_factory=dict)
    speakers_train: bool = False
    encoder: str = ""
    timeout: float = HELLO_TIMEOUT


def meet(grid: Grid, meeting: Meeting, refused: Refused) -> list[Node]:
    """Wait for the sites, ask each what it is, and compare.

    In a deployment a site that answers what does not fit the run, or not its key, costs itself its place, and the run
    goes on while enough are left.

    Args:
        grid: Flower's way to the nodes.
        meeting: how they are met.
        refused: the sites that do not take part are added, with the reason.

    Returns:
        The nodes, sorted by the sites' names.

    Raises:
        UsageError: every site's policy refuses the run.
        FederationError: too few sites; in a simulation one that failed, two of a name, or sites that differ (named).
    """
    ids = _wait(grid, meeting)
    messages = [Message(RecordDict({protocol.CONFIG: ConfigRecord()}), i, protocol.HELLO) for i in ids]
    replies = list(exchange(grid, messages, meeting.timeout))
    sound = [answer for reply in replies if (answer := _answer(reply, meeting, refused)) is not None]
    if meeting.registered and replies and len(replies) == len(ids) and all(map(by_policy, replies)):
        raise UsageError(f"{NOBODY}{reasons(refused)}; nothing of it ran there: change the run, or ask the sites")
    for number in sorted(set(ids) - {reply.metadata.src_node_id for reply in replies}):
        _leave_out(meeting.registered.get(number, "a site"), "no answer in time", refused)
    if meeting.registered and not meeting.strict:
        sound = _of_one_width(sound, meeting, refused)
    if len(sound) < (meeting.expected if meeting.least is None else meeting.least):
        raise FederationError(
            f"{len(sound)} of {meeting.expected} sites take part: the others refused, failed, or said nothing for "
            f"{meeting.timeout:.0f} s{reasons(refused)}; their own logs say why"
        )
    names = [node.site for node, _ in sound]
    if len(set(names)) < len(names):
        raise FederationError(f"two sites have one name: {', '.join(sorted(names))}")
    agree({node.site: terms for node, terms in sound}, meeting.classes, strict=meeting.strict)
    nodes = sorted((node for node, _ in sound), key=lambda node: node.site)
    if meeting.registered:
        _warn_of_weight(nodes)
        _warn_of_limits(nodes)
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


def _answer(reply: Message, meeting: Meeting, refused: Refused) -> Answer | None:
    """What a site says of itself; None where it can't take part.

    Raises:
        FederationError: it can't, in a simulation; in a strict run where its hello is none or does not fit. Else the
            run goes on without it.
    """
    number = reply.metadata.src_node_id
    site = meeting.registered.get(number, "a site")
    try:
        if not reply.has_error():
            told = handshake.read(reply, Scope(private=meeting.private))
            return _placed(told, meeting) if meeting.registered else told
        why = failure(reply)
    except Exception as error:  # whatever a site's answer makes of what reads it
        why = str(error) if isinstance(error, FederationError) else unreadable(error)
        if meeting.strict:
            raise FederationError(f"--strict: {site} does not take part: {short(why)}") from None
    if not meeting.registered:
        raise FederationError(f"{site} could not start ({short(why)})")
    _leave_out(site, why, refused)
    return None


def _leave_out(site: str, why: str, refused: Refused) -> None:
    refused[site] = short(why)
    log.warning("%s does not take part: %s", site, refused[site])


def _of_one_width(sound: Sequence[Answer], meeting: Meeting, refused: Refused) -> list[Answer]:
    """The sites without those whose frames are of another width than most sites'."""
    odd = odd_widths({node.site: traits for node, traits in sound}, meeting.features)
    for site, why in odd.items():
        _leave_out(site, why, refused)
    return [(node, traits) for node, traits in sound if node.site not in odd]


def _placed(told: Answer, meeting: Meeting) -> Answer:
    """A site of its own with what is known of it, which is held against what it says.

    Raises:
        FederationError: it answers under another's name, does not fit the run, or says that it holds far more than was
            agreed with it.
    """
    node, traits = told
    if (owner := meeting.registered.get(node.id)) != node.site:
        key = "that of no site of this federation" if owner is None else f"{owner}'s"
        raise FederationError(f"it calls itself {short(node.site)}, but its key is {key}; see to its site.toml")
    if why := unfit(traits, meeting.classes, meeting.encoder):
        raise FederationError(why)
    agreed = meeting.agreed.get(node.site)
    if agreed and (why := agreed.excess(node, speakers_train=meeting.speakers_train)):
        raise FederationError(why)
    if agreed:
        return dataclasses.replace(node, registered=True, unseen=agreed.unseen(node)), traits
    return dataclasses.replace(node, registered=True, limited=True), traits


def _warn_of_weight(nodes: Sequence[Node]) -> None:
    """Say so where one site's count makes it nearly all of what is shared: nobody but the site can count."""
    shared = {
        "to train on: the model will be nearly its own": {node.site: node.examples for node in nodes},
        "to validate on: the round is nearly its choice": {node.site: node.validation for node in nodes},
        "held out: the score will be nearly its own, and stands beside those of each": {n.site: n.test for n in nodes},
    }
    for what, counts in shared.items():
        total = sum(counts.values())
        for site, count in counts.items():
            if sum(map(bool, counts.values())) > 1 and count > DOMINANT * total:
                log.warning("%s says that it has %d of all %d %s; ask it if that is so", site, count, total, what)


def _warn_of_limits(nodes: Sequence[Node]) -> None:
    """Say what holds for the sites with whom nothing is agreed, and for which of them it makes a difference."""
    if not (unknown := limited(nodes)):
        return
    share = f"at most {SHARE}/{len(nodes)} of the mean" if len(nodes) > SHARE else "of the mean what it says"
    log.warning(
        "nothing is agreed of how much %s hold: each is %s, and its steps in a round are taken for at most "
        "%.0f times the usual; fedser federation add-site --recordings N --speakers N agrees it",
        *(", ".join(sorted(unknown)), share, MOST_STEPS),
    )
    told = {node.site: node.examples for node in nodes}
    for site, count in bounded(told, unknown).items():
        if count < told[site]:
            log.warning("%s says that it has %d to train on: it counts as %d", site, told[site], count)
