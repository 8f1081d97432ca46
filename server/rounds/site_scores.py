"""The server sends sites a model to score, and checks the counts that they send back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.config.settings import Config
from common.learning import metrics
from common.messages import schema
from common.messages.scope import Scope
from server.messages.exchange import exchange
from server.messages.quorum import Quorum
from server.messages.rejections import Refused, costing, failure, refuse
from server.run.checkpoint import Arrays, State
from server.sites.handshake import Node

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a site sent of an evaluation.

    Attributes:
        confusion: ``(groups, classes, classes)``; of held-out speakers with all of each known, or, where a site does
            not tell that, as of strangers.
        examples: recordings.
        loss: summed; None where it was not told.
        speakers: held-out ones that were scored; 0 where none were asked for.
        known: whether all of the speakers was known.
        after: of held-out speakers, by ``protocol.AFTER``, the counts as of strangers, where there are any.
    """

    confusion: metrics.Confusion
    examples: int
    loss: float | None = None
    speakers: int = 0
    known: bool = True
    after: Mapping[str, metrics.Confusion] = field(default_factory=dict)

    @property
    def by_speaker(self) -> bool:
        """Whether each group is a held-out speaker."""
        return len(self.confusion) == self.speakers


def ask(
    grid: Grid,
    config: Config,
    state: State,
    nodes: Sequence[Node],
    message_type: str,
    arrays: Arrays,
    refused: Refused,
    *,
    simulated: bool = False,
    quorum: Quorum | None = None,
) -> dict[str, Counts]:
    """Send sites a model to score, and collect their counts.

    Args:
        grid: Flower's way to the nodes.
        config: of the run.
        state: has the scaling, and the number of the round.
        nodes: to ask.
        message_type: ``protocol.EVALUATE`` or ``protocol.EVALUATE_TEST``.
        arrays: the model.
        refused: the sites whose answer is not taken are added, with the reason.
        simulated: whether the sites are on this machine.
        quorum: when the waiting ends before all have answered.

    Returns:
        By site, what those counted that answered as they should.
    """
    classes = state.arrays[config.model.architecture.output_bias].shape[0]

    def read(node: Node, reply: Message) -> Counts:
        most = node.test if message_type == protocol.EVALUATE_TEST else node.validation
        scope = Scope.of(config, class_count=classes, most=most, most_speakers=node.unseen, simulated=simulated)
        return _counts(reply, message_type, scope)

    return ask_each(grid, config, state, nodes, message_type, arrays, read, refused, quorum)


def ask_each(
    grid: Grid,
    config: Config,
    state: State,
    nodes: Sequence[Node],
    message_type: str,
    arrays: Arrays,
    read: Callable[[Node, Message], _Answer],
    refused: Refused,
    quorum: Quorum | None = None,
) -> dict[str, _Answer]:
    """Send sites a model to evaluate, and collect what ``read`` makes of their replies.

    Args:
        grid: Flower's way to the nodes.
        config: of the run.
        state: has the scaling, and the number of the round.
        nodes: to ask.
        message_type: of the messages.
        arrays: the model.
        read: may raise; then the site's answer is not taken.
        refused: the sites whose answer is not taken are added, with the reason.
        quorum: when the waiting ends before all have answered.

    Returns:
        By site, in the order of ``nodes``, of those that answered as they should.
    """
    content = RecordDict(dict(scored(state, arrays)))
    asked = {node.id: node for node in nodes}
    messages = [Message(content, node.id, message_type) for node in nodes]
    answers: dict[str, _Answer] = {}
    for reply in exchange(grid, messages, config.federation.round_timeout, quorum):
        node = asked[reply.metadata.src_node_id]
        if reply.has_error():
            refuse(node.site, "evaluation", failure(reply), refused)
            continue
        with costing(node.site, "evaluation", refused):
            answers[node.site] = read(node, reply)
    return answers


def scored(state: State, arrays: Arrays) -> dict[str, ArrayRecord | ConfigRecord]:
    """What sites are sent to score a model.

    Args:
        state: has the scaling, and the number of the round.
        arrays: the model.
    """
    return {
        protocol.ARRAYS: record(arrays),
        protocol.SCALING: record(state.scaling),
        protocol.CONFIG: ConfigRecord({protocol.ROUND: state.round}),
    }


def _counts(reply: Message, message_type: str, scope: Scope) -> Counts:
    """The counts of an evaluation's reply.

    Raises:
        Misfit: they are no counts, or of more than the site said that it has.
    """
    values = schema.read_reply(message_type, scope, reply.content)[protocol.METRICS]
    tables = {
        name: np.array(own, dtype=np.int64).reshape(-1, scope.class_count, scope.class_count)
        for name, own in values.items()
        if name.startswith(protocol.CONFUSION)
    }
    first = protocol.after(protocol.AFTER[0])
    return Counts(
        confusion=tables[protocol.CONFUSION if protocol.CONFUSION in tables else first],
        known=protocol.CONFUSION in tables,
        examples=values[protocol.EXAMPLES],
        loss=values.get(protocol.LOSS),
        speakers=values.get(protocol.SPEAKERS, 0),
        after={heard: tables[protocol.after(heard)] for heard in protocol.AFTER if protocol.after(heard) in tables},
    )


def record(arrays: Arrays) -> ArrayRecord:
    """Arrays as Flower sends them, sorted by name: some of its strategies pair arrays by their place."""
    return ArrayRecord({name: Array(arrays[name]) for name in sorted(arrays)})
