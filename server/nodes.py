"""The sites of a run: who they are, what they hold, and whether they agree, before the first round."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.errors import FederationError
from common.normalise import Sums
from server.agreement import Terms, agree
from server.exchange import exchange

log = logging.getLogger("fedser.server")
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
        speakers: how many it trains on.
        validation_speakers: how many it validates on.
    """

    id: int
    site: str
    features: int
    examples: int
    validation: int
    test: int
    speakers: int
    validation_speakers: int


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """How the sites are met.

    Attributes:
        classes: the run's.
        expected: how many sites must be there.
        registered: by Flower's number of a node the name under which its key was registered; empty in a simulation,
            where there are no keys.
        strict: whether any difference between sites ends the run.
        timeout: seconds to wait for sites to come, and again for their answers.
    """

    classes: Sequence[str]
    expected: int
    registered: Mapping[int, str]
    strict: bool = False
    timeout: float = HELLO_TIMEOUT


def meet(grid: Grid, meeting: Meeting) -> list[Node]:
    """Wait for the sites, ask each what it is, and compare.

    Returns:
        The nodes, sorted by the sites' names.

    Raises:
        FederationError: too few sites in time, one that failed, two of a name, one that answers under another's name,
            or sites that differ (named).
    """
    ids = _wait(grid, meeting)
    messages = [Message(RecordDict({protocol.CONFIG: ConfigRecord()}), i, protocol.HELLO) for i in ids]
    replies = list(exchange(grid, messages, meeting.timeout))
    sound = [reply for reply in replies if not _failed(reply, meeting)]
    if len(sound) < meeting.expected:
        raise FederationError(
            f"{len(sound)} of {meeting.expected} sites take part: the others refused, failed, or said nothing for "
            f"{meeting.timeout:.0f} s; their own logs say why"
        )
    nodes = [_node(reply, meeting) for reply in sound]
    names = [node.site for node in nodes]
    if len(set(names)) < len(names):
        raise FederationError(f"two sites have one name: {', '.join(sorted(names))}")
    told = {node.site: _terms(reply) for node, reply in zip(nodes, sound, strict=True)}
    agree(told, meeting.classes, strict=meeting.strict)
    return sorted(nodes, key=lambda node: node.site)


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


def _failed(reply: Message, meeting: Meeting) -> bool:
    """Whether a site can't take part: in a simulation that ends the run, in a deployment it goes on without it."""
    if not reply.has_error():
        return False
    site = meeting.registered.get(reply.metadata.src_node_id, "a site")
    if not meeting.registered:
        raise FederationError(f"{site} could not start ({reply.error.reason})")
    log.warning("%s does not take part: %s", site, reply.error.reason)
    return True


def _about(reply: Message) -> Any:
    return reply.content.config_records[protocol.CONFIG]


def _terms(reply: Message) -> Terms:
    about = _about(reply)
    return Terms(
        protocol=about[protocol.PROTOCOL],
        release=str(about.get(protocol.RELEASE, "")),
        classes=tuple(about[protocol.CLASSES]),
        missing=tuple(about.get(protocol.MISSING, ())),
        features=about[protocol.FEATURES],
        labels=str(about.get(protocol.LABELS, "")),
    )


def _node(reply: Message, meeting: Meeting) -> Node:
    about, number = _about(reply), reply.metadata.src_node_id
    site = str(about[protocol.SITE])
    if meeting.registered and meeting.registered.get(number) != site:
        owner = meeting.registered.get(number, "no site of this federation")
        raise FederationError(f"a site calls itself {site}, but its key is that of {owner}; see to its site.toml")
    return Node(
        id=number,
        site=site,
        features=about[protocol.FEATURES],
        examples=about[protocol.EXAMPLES],
        validation=about[protocol.VALIDATION_EXAMPLES],
        test=about[protocol.TEST_EXAMPLES],
        speakers=about.get(protocol.SPEAKERS, 0),
        validation_speakers=about.get(protocol.VALIDATION_SPEAKERS, 0),
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
