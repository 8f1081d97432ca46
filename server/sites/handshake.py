"""What a site says of itself when it is met, read as what anybody may have written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flwr.app import Message

from common import protocol
from common.errors import FederationError
from server.sites.compatibility import Terms

MOST = 10_000_000  # recordings or speakers of a site: its weight in the mean, so more is no count
_WIDEST = 100_000  # features of a frame


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


def read(reply: Message) -> tuple[Node, Terms]:
    """Read a site's answer to ``protocol.HELLO``.

    Raises:
        FederationError: it lacks something, or has something that is not what is expected there, which is named.
    """
    told: Any = reply.content.config_records.get(protocol.CONFIG) or {}
    spoken = told.get(protocol.PROTOCOL)
    try:
        return _node(told, reply.metadata.src_node_id), _terms(told)
    except FederationError as error:
        if type(spoken) is int and spoken != protocol.VERSION:
            raise FederationError(
                f"it speaks protocol {spoken}, this server {protocol.VERSION}; install the same fedser at both"
            ) from None
        raise FederationError(f"{error}; install the same fedser at both") from None


def _node(told: Any, number: int) -> Node:
    return Node(
        id=number,
        site=_taken(told, protocol.SITE, lambda value: isinstance(value, str) and bool(value)),
        features=_taken(told, protocol.FEATURES, _between(1, _WIDEST)),
        examples=_taken(told, protocol.EXAMPLES, _between(1, MOST)),
        validation=_taken(told, protocol.VALIDATION_EXAMPLES, _between(0, MOST)),
        test=_taken(told, protocol.TEST_EXAMPLES, _between(0, MOST)),
        speakers=_taken(told, protocol.SPEAKERS, _between(0, MOST), 0),
        validation_speakers=_taken(told, protocol.VALIDATION_SPEAKERS, _between(0, MOST), 0),
    )


def _terms(told: Any) -> Terms:
    return Terms(
        protocol=_taken(told, protocol.PROTOCOL, _between(0, MOST)),
        release=_taken(told, protocol.RELEASE, _is_text, ""),
        classes=tuple(_taken(told, protocol.CLASSES, _are_texts)),
        missing=tuple(_taken(told, protocol.MISSING, _are_texts, [])),
        features=_taken(told, protocol.FEATURES, _between(1, _WIDEST)),
        labels=_taken(told, protocol.LABELS, _is_text, ""),
    )


def _taken(told: Any, name: str, check: Callable[[Any], bool], default: Any = None) -> Any:
    """A value that passes its check; the default, where there is one, stands for one that is not there."""
    value = told.get(name, default)
    if value is None:
        raise FederationError(f"its hello has no {name}")
    if not check(value):
        raise FederationError(f"its hello has {name} {str(value)[:50]!r}, which cannot be")
    return value


def _between(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
