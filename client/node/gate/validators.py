"""Checks of single values that would leave a site: each returns the value, of a plain type, or refuses it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from client.node.policy.inbound import short
from common import protocol
from common.errors import FedserError

Check = Callable[[Any], Any]

_MOST = 10**9
_NUMBER = r"\d{1,4}(\.\d{1,4}){1,3}((a|b|rc|\.dev|\.post)\d{1,4})?(\+(cpu|cu\d{2,3}))?"
_RELEASE = re.compile(rf"(fedser )?{_NUMBER}(,? torch {_NUMBER})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NUMBERS = (*protocol.SPENT, "delta")


class Refused(FedserError):  # noqa: N818 - the gate's answer, not a fault of its own
    """Something would have left the site that may not; the reason is for the site's own log alone."""


def taken(
    name: str, values: Mapping[str, Any], checks: Mapping[str, Check], *, optional: Collection[str] = ()
) -> dict[str, Any]:
    """The checked values of a record, by key.

    Args:
        name: of the record, for the message.
        values: as the app sent them.
        checks: of each key that may leave.
        optional: keys that may be missing.

    Raises:
        Refused: a key is missing, one is there that may not leave, or a value may not.
    """
    if extra := values.keys() - checks.keys():
        raise Refused(f"the reply's {name} has {short(min(extra))}, which may not leave")
    if missing := checks.keys() - values.keys() - set(optional):
        raise Refused(f"the reply's {name} lacks {', '.join(sorted(missing))}")
    return {key: _checked(f"{name}: {key}", values[key], check) for key, check in checks.items() if key in values}


def _checked(what: str, value: Any, check: Check) -> Any:
    try:
        return check(value)
    except Refused as refused:
        raise Refused(f"the reply's {what} {refused}") from None


def count(value: Any) -> int:
    """A whole number from 0 to a milliard."""
    if type(value) is not int or not 0 <= value <= _MOST:
        raise Refused(f"is {short(value)}, expected a count")
    return value


def number(value: Any) -> float:
    """A finite number from 0 to a milliard."""
    if type(value) not in (int, float) or not 0 <= value <= _MOST:
        raise Refused(f"is {short(value)}, expected a number from 0")
    return float(value)


def counts(value: Any) -> list[int]:
    """A list of counts."""
    if not isinstance(value, list):
        raise Refused(f"is {short(value)}, expected a list of counts")
    return [count(item) for item in value]


def just(expected: Any) -> Check:
    """The one value that may leave."""

    def check(value: Any) -> Any:
        if type(value) is not type(expected) or value != expected:
            raise Refused(f"is {short(value)}, expected {expected!r}")
        return expected

    return check


def names_among(allowed: Collection[str]) -> Check:
    """A list of names, each once, all among the allowed ones."""

    def check(value: Any) -> list[str]:
        if not isinstance(value, list) or not set(map(str, value)) <= set(allowed) or len(set(value)) < len(value):
            raise Refused(f"is {short(value)}, expected some of {', '.join(sorted(allowed))}")
        return list(value)

    return check


def release(value: Any) -> str:
    """The version of fedser, and of torch."""
    if not isinstance(value, str) or not _RELEASE.fullmatch(value):
        raise Refused(f"is {short(value)}, expected a version such as 0.1.0")
    return value


def digest(value: Any) -> str:
    """SHA-256 in hex."""
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise Refused(f"is {short(value)}, expected 64 hex digits")
    return value


def digest_or_none(value: Any) -> str:
    """SHA-256 in hex, or an empty text."""
    return "" if value == "" else digest(value)


def figures(report_epsilon: bool) -> Check:
    """The JSON text of what a ledger says, written anew; what was spent is null where it is not reported."""

    def check(value: Any) -> str:
        try:
            told = dict(json.loads(value))
        except (TypeError, ValueError, RecursionError):
            raise Refused(f"is {short(value)}, expected a JSON object") from None
        own = taken("figures", told, dict.fromkeys(_NUMBERS, _figure) | {"stopped": _truth})
        return json.dumps(own if report_epsilon else own | dict.fromkeys(protocol.SPENT), sort_keys=True)

    return check


def _figure(value: Any) -> float | None:
    """A number from 0, perhaps infinite as an ε without noise is, or null."""
    if value is None or (type(value) in (int, float) and 0 <= value <= _MOST) or value == math.inf:
        return value  # type: ignore[no-any-return]
    raise Refused(f"is {short(value)}, expected a number from 0 or null")


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise Refused(f"is {short(value)}, expected true or false")
    return value
