"""What a server may ask in a message of a run: its type, and the settings that come with it.

The server chooses them anew in each message, whatever the run's settings say.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from common import protocol

TYPES = (
    *(protocol.HELLO, protocol.STATISTICS, protocol.TRAIN),
    *(protocol.EVALUATE, protocol.EVALUATE_TEST, protocol.PRIVACY),
)
_COUNTS = (protocol.LEDGER_ENTRIES, protocol.AUDIT_ENTRIES, protocol.SERVER_ENTRIES)
_HASHES = (protocol.LEDGER_HASH, protocol.AUDIT_HASH, protocol.SERVER_HASH, protocol.SERVER_LOG)
_SETTINGS = (protocol.ROUND, protocol.PROXIMAL_MU, protocol.RUN, *_COUNTS, *_HASHES)
_HASH = re.compile(r"([0-9a-f]{64})?")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def reasons(
    kind: str, config: Mapping[str, Any], *, allowed: Collection[str], max_rounds: int, mu: tuple[float, float]
) -> Iterator[str]:
    """Why a message is refused, a line each.

    Args:
        kind: Flower's message type.
        config: the message's settings.
        allowed: the types that the policy allows.
        max_rounds: the last round that may be asked for.
        mu: the least and the greatest weight of FedProx's term.
    """
    if kind not in TYPES:
        yield f"the message is of type {short(kind)}, expected one of {', '.join(TYPES)}"
    elif kind not in allowed:
        yield f"the server asks for {kind}, which the policy does not allow (outbound)"
    if kind == protocol.TRAIN and config.get(protocol.ROUND, 0) == 0:
        yield f"the message names no round to train, expected {protocol.ROUND} from 1"
    for name, value in config.items():
        if name not in _SETTINGS:
            yield f"the message sets {short(name)}, expected one of {', '.join(_SETTINGS)}"
        elif not _fits(name, value, max_rounds, mu):
            yield f"the message sets {name} to {short(value)}, which the policy does not allow"


_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = 80
_brief.maxlist = _brief.maxlevel = 3


def short(value: object) -> str:
    """A stranger's value for a log: in one line, and no longer than one."""
    return _brief.repr(value)


def _fits(name: str, value: Any, max_rounds: int, mu: tuple[float, float]) -> bool:
    if name == protocol.PROXIMAL_MU:
        return type(value) in (int, float) and mu[0] <= value <= mu[1]
    if name == protocol.RUN or name in _HASHES:
        return isinstance(value, str) and (_RUN if name == protocol.RUN else _HASH).fullmatch(value) is not None
    return type(value) is int and 0 <= value <= (max_rounds if name == protocol.ROUND else 10**12)
