"""Updates that must not reach the average: errors, wrong keys or shapes, numbers that are not finite, and updates that
are far longer than others.

The norm's screening stops a site whose update was scaled up, by a fault or to replace the model (Bagdasaryan et al.
2020); it does not stop an attacker who stays below the limit. Records beside the model are looked at likewise, where
the sites are not this program's own: what a server makes of one that is far too long it would send to all.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import Message

from common.config.settings import TrainingConfig
from common.messages import schema
from common.messages.scope import Scope
from common.protocol import ARRAYS, TRAIN
from server.messages.rejections import failure
from server.records.ledger_reports import says_stopped

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


def length(reply: Message, record: str) -> float:
    """The L2 norm of a record of arrays beside the model."""
    arrays = reply.content.array_records[record].values()
    return math.sqrt(sum(float(np.square(array.numpy().astype(np.float64)).sum()) for array in arrays))


def step_ratio(examples: Mapping[str, int], training: TrainingConfig) -> dict[str, float]:
    """How many times as many steps each site takes in a round as the median site does; at least 1.

    Adam's step has about the same length whatever the gradient: a site with fifty times the recordings goes fifty times
    as far, and is not refused for it. One with few is compared as it is.

    Args:
        examples: by site, how many recordings it trains on.
        training: how they train.
    """
    steps = {site: training.steps(count) for site, count in examples.items()}
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
        scope: what the server knows of the run.
        like: the global model.
        factor: 0 for no limit.
        before: the last round's median; 0 where there was none.
        ways: by site, ``step_ratio``: its norm is taken for so many times less.
        beside: the names of the records beside the model whose length is held against the others' too.
    """

    def __init__(
        self,
        scope: Scope,
        like: Arrays,
        factor: float,
        before: float,
        ways: Mapping[str, float],
        beside: Collection[str] = (),
    ) -> None:
        self._scope, self._like, self._factor, self._ways = scope, like, factor, ways
        self._norms = [before] if before else []
        self._lengths: dict[str, list[float]] = {name: [] for name in beside}
        self._held: list[tuple[str, Message, float]] = []

    @property
    def norm(self) -> float:
        """The median norm of the updates that were taken, and of the last round's median; 0 where there is none."""
        return statistics.median(self._norms) if self._norms else 0.0

    def is_stop(self, reply: Message) -> bool:
        """Whether a sound reply says, in place of an update, that the site's budget is spent."""
        return says_stopped(reply) and fault(reply, self._scope) is None

    def judge(self, site: str, reply: Message) -> list[Verdict]:
        """The verdicts that a site's reply allows: on itself, on such as waited for it, or none yet."""
        if reason := fault(reply, self._scope):
            return [Verdict(site=site, reply=reply, fault=reason)]
        self._held.append((site, reply, distance(reply, self._like) / self._ways.get(site, 1.0)))
        fewest = min(map(len, (self._norms, *self._lengths.values())))
        return self.rest() if fewest + len(self._held) >= MEDIAN_OF else []

    def rest(self) -> list[Verdict]:
        """The verdicts on those that still wait."""
        held, self._held = self._held, []
        odd = {site: why for name in self._lengths for site, why in self._too_long(name, held)}
        known = [*self._norms, *(norm for _, _, norm in held)]
        median = statistics.median(known) if len(known) >= MEDIAN_OF else 0.0
        limit = self._factor * median or math.inf
        self._norms += [norm for _, _, norm in held if norm <= limit]
        long = f"more than {self._factor:g} times the others' {median:.3g}"
        return [
            Verdict(
                site=site,
                reply=reply,
                fault=odd.get(site) if norm <= limit else f"its update has the norm {norm:.3g}, {long}",
            )
            for site, reply, norm in held
        ]

    def _too_long(self, record: str, held: Sequence[tuple[str, Message, float]]) -> list[tuple[str, str]]:
        """The sites among those that wait whose record beside the model is far longer than the others', and why."""
        lengths = {site: length(reply, record) for site, reply, _ in held}
        known = [*self._lengths[record], *lengths.values()]
        median = statistics.median(known) if len(known) >= MEDIAN_OF else 0.0
        limit = self._factor * median or math.inf
        self._lengths[record] += [own for own in lengths.values() if own <= limit]
        long = f"more than {self._factor:g} times the others' {median:.3g}"
        return [(site, f"its {record} has the norm {own:.3g}, {long}") for site, own in lengths.items() if own > limit]
