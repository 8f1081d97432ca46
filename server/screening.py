"""Updates that must not reach the average: errors, wrong keys or shapes, numbers that are not finite."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from flwr.app import Message

from common.protocol import ARRAYS, EXAMPLES, METRICS

log = logging.getLogger("fedser.server")


def fault(reply: Message, like: Mapping[str, np.ndarray[Any, Any]]) -> str | None:
    """Why a training reply is refused, in a few words; None where it is sound.

    Args:
        reply: from a site.
        like: the global model, whose keys, shapes and types the update must have.
    """
    if reply.has_error():
        return reply.error.reason or f"error {reply.error.code}"
    arrays = reply.content.array_records.get(ARRAYS)
    metrics = reply.content.metric_records.get(METRICS)
    if arrays is None or metrics is None:
        return "no update in the reply"
    examples = metrics.get(EXAMPLES)
    if not isinstance(examples, (int, float)) or not 0 < examples < math.inf:
        return f"{examples} training recordings"
    if set(arrays) != set(like):
        odd = sorted(set(arrays) ^ set(like))
        return f"wrong keys ({', '.join(odd[:3])})"
    for name, array in arrays.items():
        values = array.numpy()
        if values.shape != like[name].shape or values.dtype != like[name].dtype:
            expected = f"{like[name].dtype}{list(like[name].shape)}"
            return f"{name} is {values.dtype}{list(values.shape)}, expected {expected}"
        if not np.isfinite(values).all():
            return f"{name} holds numbers that are not finite"
    return None


def screened(
    replies: Iterable[Message],
    like: Mapping[str, np.ndarray[Any, Any]],
    names: Mapping[int, str],
    refused: dict[str, str],
) -> Iterator[tuple[str, Message]]:
    """Pass the sound replies on, each with its site's name; name the others in the log and in ``refused``, by site."""
    for reply in replies:
        site = names[reply.metadata.src_node_id]
        reason = fault(reply, like)
        if reason is None:
            yield site, reply
        else:
            refused[site] = reason
            log.warning("%s: update refused: %s", site, reason)
