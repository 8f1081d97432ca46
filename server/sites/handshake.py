"""A site's answer to the server's hello; every value is checked, for a site may send anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flwr.app import Message

from common import protocol
from common.errors import FederationError
from common.messages import schema
from common.messages.fields import RECORDINGS, Misfit
from common.messages.scope import Scope
from server.sites.compatibility import SiteTraits


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
        registered: whether it is a site of its own, which may say anything; those of a simulation are this program's.
        limited: whether its own word is all that is known of how much it holds: see ``server.sites.shares``.
        unseen: how many speakers it can hold beside these, held out.
    """

    id: int
    site: str
    features: int
    examples: int
    validation: int
    test: int
    speakers: int
    validation_speakers: int
    registered: bool = False
    limited: bool = False
    unseen: int = RECORDINGS


def read(reply: Message, scope: Scope) -> tuple[Node, SiteTraits]:
    """Read a site's answer to ``protocol.HELLO``.

    Raises:
        FederationError: it lacks something, or has something that is not what is expected there, which is named.
    """
    try:
        hello = schema.read_reply(protocol.HELLO, scope, reply.content)[protocol.CONFIG]
    except Misfit as misfit:
        record: Any = reply.content.config_records.get(protocol.CONFIG) or {}
        spoken = record.get(protocol.PROTOCOL)
        if type(spoken) is int and spoken != protocol.VERSION:
            why = f"it speaks protocol {spoken}, this server {protocol.VERSION}"
        else:
            why = f"its hello's {misfit}"
        raise FederationError(f"{why}; install the same fedser at both") from None
    node = Node(
        id=reply.metadata.src_node_id,
        site=hello[protocol.SITE],
        features=hello[protocol.FEATURES],
        examples=hello[protocol.EXAMPLES],
        validation=hello[protocol.VALIDATION_EXAMPLES],
        test=hello[protocol.TEST_EXAMPLES],
        speakers=hello[protocol.SPEAKERS],
        validation_speakers=hello[protocol.VALIDATION_SPEAKERS],
    )
    traits = SiteTraits(
        protocol=hello[protocol.PROTOCOL],
        release=hello[protocol.RELEASE],
        classes=tuple(hello[protocol.CLASSES]),
        missing=tuple(hello[protocol.MISSING]),
        features=hello[protocol.FEATURES],
        labels=hello[protocol.LABELS],
        encoder=hello[protocol.ENCODER],
    )
    return node, traits
