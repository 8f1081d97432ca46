"""Updates that must not reach the average: errors, wrong keys or shapes, numbers that are not finite, and updates that
are far longer than others.

The norm's screening stops a site whose update was scaled up, by a fault or to replace the model (Bagdasaryan et al.
2020); it does not stop an attacker who stays below the limit.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Array, Message

from common.protocol import ARRAYS, EXAMPLES, METRICS
from server.messages.rejections import failure

Arrays = Mapping[str, np.ndarray[Any, Any]]
MEDIAN_OF = 3  # updates, at least


def fault(reply: Message, like: Arrays, beside: Sequence[str] = ()) -> str | None:
    """Why a training reply is refused, in a few words; None where it is sound.

    Args:
        reply: from a site.
        like: the global model, whose keys, shapes and types the update must have.
        beside: the names of further records of arrays, each of the same keys and shapes in float32.
    """
    if reply.has_error():
        return failure(reply)
    arrays = reply.content.array_records.get(ARRAYS)
    metrics = reply.content.metric_records.get(METRICS)
    if arrays is None or metrics is None:
        return "no update in the reply"
    examples = metrics.get(EXAMPLES)
    if not isinstance(examples, (int, float)) or not 0 < examples < math.inf:
        return f"{examples} training recordings"
    others = {name: np.broadcast_to(np.float32(0), values.shape) for name, values in like.items()} if beside else {}
    for name in beside:
        record = reply.content.array_records.get(name)
        if reason := "it is missing" if record is None else _odd(record, others):
            return f"{name}: {reason}"
    return _odd(arrays, like)


def _odd(arrays: Mapping[str, Array], like: Arrays) -> str | None:
    """What is wrong with a record of arrays that are to be as others are; None where nothing is."""
    if set(arrays) != set(like):
        odd = sorted(set(arrays) ^ set(like))
        return f"wrong keys ({', '.join(odd[:3])})"
    for name, array in arrays.items():
        values = values_of(array)
        if values is None:
            return f"{name} holds bytes that are no array"
        if values.shape != like[name].shape or values.dtype != like[name].dtype:
            expected = f"{like[name].dtype}{list(like[name].shape)}"
            return f"{name} is {values.dtype}{list(values.shape)}, expected {expected}"
        if not np.isfinite(values).all():
            return f"{name} holds numbers that are not finite"
    return None


def values_of(array: Array) -> np.ndarray[Any, Any] | None:
    """What an array of a reply holds; None where its bytes are no array. Reading it runs nothing, whoever wrote it."""
    try:
        values = array.numpy()
    except Exception:  # whatever bytes that were made by hand make of NumPy's reader
        return None
    return values if isinstance(values, np.ndarray) else None  # an archive of arrays is another thing


def distance(reply: Message, like: Arrays) -> float:
    """The L2 norm of an update: all its arrays' difference to the global model."""
    arrays = reply.content.array_records[ARRAYS]
    squares = [float(np.square(array.numpy().astype(np.float64) - like[name]).sum()) for name, array in arrays.items()]
    return math.sqrt(sum(squares))


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


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a site's reply: ``fault`` says in a few words why it is refused; None where it is taken."""

    site: str
    reply: Message
    fault: str | None = None


class Screening:
    """A round's judge: an update is taken if it is sound, and at most ``factor`` times as long as the median.

    The median is over those so far, so that the server holds three updates at most; it needs three, and of these most
    must be honest. A private update is mostly noise, which is about as long at every site.

    Args:
        like: the global model.
        factor: 0 for no limit.
        before: the last round's median; 0 where there was none.
        ways: by site, ``longer_way``: its norm is taken for so many times less.
        beside: further records of arrays that an update has.
    """

    def __init__(
        self, like: Arrays, factor: float, before: float, ways: Mapping[str, float], beside: Sequence[str] = ()
    ) -> None:
        self._like, self._factor, self._ways, self._beside = like, factor, ways, beside
        self._norms = [before] if before else []
        self._held: list[tuple[str, Message, float]] = []

    @property
    def norm(self) -> float:
        """The median norm of the updates that were taken, and of the last round's median; 0 where there is none."""
        return statistics.median(self._norms) if self._norms else 0.0

    def judge(self, site: str, reply: Message) -> list[Verdict]:
        """The verdicts that a site's reply allows: on itself, on such as waited for it, or none yet."""
        if reason := fault(reply, self._like, self._beside):
            return [Verdict(site=site, reply=reply, fault=reason)]
        self._held.append((site, reply, distance(reply, self._like) / self._ways.get(site, 1.0)))
        return self.rest() if len(self._norms) + len(self._held) >= MEDIAN_OF else []

    def rest(self) -> list[Verdict]:
        """The verdicts on those that still wait."""
        held, self._held = self._held, []
        known = [*self._norms, *(norm for _, _, norm in held)]
        median = statistics.median(known) if len(known) >= MEDIAN_OF else 0.0
        limit = self._factor * median or math.inf
        self._norms += [norm for _, _, norm in held if norm <= limit]
        long = f"more than {self._factor:g} times the others' {median:.3g}"
        return [
            Verdict(
                site=site,
                reply=reply,
                fault=None if norm <= limit else f"its update has the norm {norm:.3g}, {long}",
            )
            for site, reply, norm in held
        ]
