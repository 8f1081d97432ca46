"""What is taken of a sound training reply: the update, with the weight that the site was given before round 1.

Whatever else a reply says is for those who watch, or is left out: no site can end a round, or make its own part in the
mean larger, by what it writes beside its weights.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

from common import protocol
from common.config.settings import Config
from server.records.ledger_reports import spent_so_far
from server.sites.handshake import Node
from server.sites.shares import bounded, limited

log = logging.getLogger("fedser.server")
_NAMED = 5  # sites


def untold(node: Node) -> dict[str, Any]:
    """A round's entry for a site of whose part nothing is known any more."""
    return {"loss": None, "uar": None, "seconds": None, "bytes": None, "examples": node.examples}


def strip_reply(
    reply: Message, node: Node, config: Config, number: int, names: Collection[str], weight: int | None = None
) -> dict[str, Any]:
    """Strip a reply in place to what the average needs, its arrays and its weight; return the rest as an entry.

    The weight is the count that the site gave when it was met: in a private run it must not tell of a round's sample,
    and in any run a later count could make one site the whole mean.

    Args:
        reply: screened; it loses all else.
        node: whose it is.
        config: of the run.
        number: of the round.
        names: of the model's arrays, in their order, which some of Flower's strategies go by.
        weight: of the site, by ``weights``; what it said when it was met where it is None.

    Returns:
        The site's entry in the round, as ``result.json`` has it.
    """
    reported = reply.content.metric_records[protocol.METRICS]
    examples = told(node, config, number)
    if reported[protocol.EXAMPLES] != examples:
        log.warning(
            "%s: trained on %s by its own word, and said %d when it was met: it counts as %d",
            *(node.site, reported[protocol.EXAMPLES], examples, examples),
        )
    entry = {
        "examples": examples,
        "loss": reported.get(protocol.LOSS),
        "uar": None,
        "seconds": reported.get(protocol.SECONDS),
        "bytes": sum(len(array.data) for record in reply.content.array_records.values() for array in record.values()),
        **(spent_so_far(reply) if config.privacy.at_sites else {}),
    }
    updates = {
        record: ArrayRecord({n: arrays[n] for n in names if n in arrays})
        for record, arrays in reply.content.array_records.items()
    }
    metrics = MetricRecord({protocol.EXAMPLES: examples if weight is None else weight})
    reply.content = RecordDict({**updates, protocol.METRICS: metrics})
    return entry


def weights(nodes: Collection[Node], config: Config, number: int) -> dict[str, int]:
    """What each site weighs in a round: the recordings that it said, held to a share where nothing is agreed; or 1."""
    if config.federation.weights == "equal":
        return {node.site: 1 for node in nodes}
    return bounded({node.site: told(node, config, number) for node in nodes}, limited(nodes))


def told(node: Node, config: Config, number: int) -> int:
    """The recordings that a site trains on in a round, by what it said when it was met."""
    return node.examples + (node.validation if number > config.federation.rounds else 0)


def tell_few_steps(nodes: Collection[Node], config: Config) -> None:
    """Say in a line which sites pass over their recordings more often than others, for a round's least steps."""
    own = config.training
    few = [] if config.privacy.on else [node for node in nodes if own.passes(node.examples) > own.local_epochs]
    if few:
        names = ", ".join(node.site for node in few[:_NAMED]) + (f" and {len(few) - _NAMED} more" * (len(few) > _NAMED))
        log.warning(
            "few recordings at %s: a round passes over them up to %d times, not %d, to make %d steps "
            "(training.least_steps)",
            *(names, max(own.passes(node.examples) for node in few), own.local_epochs, own.least_steps),
        )
