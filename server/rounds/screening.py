"""Updates that must not reach the average: errors, wrong keys or shapes, numbers that are not finite, and updates that
are far longer than others.

The norm's screening stops a site whose update was scaled up, by a fault or to replace the model (Bagdasaryan et al.
2020); it does not stop an attacker who stays below the limit.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from flwr.app import Message

from common.messages import schema
from common.messages.scope import Scope
from common.protocol import ARRAYS, TRAIN
from server.messages.rejections import Refused, failure, refuse

Arrays = Mapping[str, np.ndarray[Any, Any]]
MEDIAN_OF = 3  # updates, at least


def fault(reply: Message, scope: Scope) -> str | None:
    """Why a training reply is refused, in a few words; None where it is sound.

    Args:
        reply: from a site.
        scope: what the server knows of the run, the global model's arrays among it.
    """
    if reply.has_error():
        return failure(reply)
    found = schema.reply_of_site(TRAIN, scope, reply.content).fault(reply.content)
    return found and f"its {found}"


def distance(reply: Message, like: Arrays) -> float:
    """The L2 norm of an update: all its arrays' difference to the global model."""
    arrays = reply.content.array_records[ARRAYS]
    squares = [float(np.square(array.numpy().astype(np.float64) - like[name]).sum()) for name, array in arrays.items()]
    return math.sqrt(sum(squares))


def screened(
    replies: Iterable[Message],
    scope: Scope,
    names: Mapping[int, str],
    refused: Refused,
) -> Iterator[tuple[str, Message]]:
    """Pass the sound replies on, each with its site's name; name the others in the log and in ``refused``, by site."""
    for reply in replies:
        site = names[reply.metadata.src_node_id]
        reason = fault(reply, scope)
        if reason is None:
            yield site, reply
        else:
            refuse(site, "update", reason, refused)


def longer_way(examples: Mapping[str, int], batch_size: int) -> dict[str, float]:
    """How many times as many steps each site takes in a round as the median site does; at least 1.

    Adam's step has about the same length whatever the gradient: a site with fifty times the recordings goes fifty times
    as far, and is not refused for it. One with few is compared as it is.

    Args:
        examples: by site, how many recordings it trains on.
        batch_size: of a step.
    """
    steps = {site: math.ceil(count / batch_size) for site, count in examples.items()}
    usual = statistics.median(steps.values())
    return {site: max(1.0, count / usual) for site, count in steps.items()}


def not_scaled_up(
    replies: Iterable[tuple[str, Message]],
    like: Arrays,
    factor: float,
    norms: list[float],
    refused: Refused,
    *,
    ways: Mapping[str, float],
) -> Iterator[tuple[str, Message]]:
    """Pass on the updates that are at most ``factor`` times as long as the median; name the others, as ``screened``.

    The median is over those so far, so that the server holds three updates at most; it needs three, and of these most
    must be honest. A private update is mostly noise, which is about as long at every site.

    Args:
        replies: sound ones, each with its site's name.
        like: the global model.
        factor: 0 for no limit.
        norms: the last round's median, if there was a round; this round's are added.
        refused: by site, the reason.
        ways: by site, ``longer_way``: its norm is taken for so many times less.
    """
    held: list[tuple[str, Message, float]] = []
    for site, reply in replies:
        held.append((site, reply, distance(reply, like) / ways.get(site, 1.0)))
        if len(norms) + len(held) >= MEDIAN_OF:
            yield from _short(held, factor, norms, refused)
            held = []
    yield from _short(held, factor, norms, refused)


def _short(
    held: Sequence[tuple[str, Message, float]], factor: float, norms: list[float], refused: Refused
) -> Iterator[tuple[str, Message]]:
    known = [*norms, *(norm for _, _, norm in held)]
    median = statistics.median(known) if len(known) >= MEDIAN_OF else 0.0
    limit = factor * median or math.inf
    for site, reply, norm in held:
        if norm <= limit:
            norms.append(norm)
            yield site, reply
        else:
            why = f"its update has the norm {norm:.3g}, more than {factor:g} times the others' {median:.3g}"
            refuse(site, "update", why, refused)
