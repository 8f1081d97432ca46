"""A round that ends when enough of the sites asked have answered, and a grace time has passed since: for deployments.

Off by default. With it a run's result depends on who is fast, so that the same run need not give the same model again;
and a private site that comes late has spent its budget on an update that nobody takes. So that it spends no more of it,
a site that is still at work on an earlier round is asked for no other before it has answered that one, or the message's
time is over. On one machine all sites answer, whatever is set.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from flwr.app import Message
from flwr.serverapp import Grid

from server.messages.pulling import Pulling


class Quorum:
    """When the waiting for a round's replies ends, and which nodes owe one of an earlier round.

    Args:
        share: of the sites asked, that are enough; 1 for all.
        grace: seconds that the others have from then on.
    """

    def __init__(self, share: float = 1.0, grace: float = 0.0) -> None:
        self._share, self._grace = share, grace
        self._least, self._answered = 0, 0
        self._owed: dict[int, tuple[str, float]] = {}

    @property
    def reached(self) -> bool:
        """Whether enough answered in the last round, but not all need have."""
        return self._share < 1 and self._answered >= self._least

    def begin(self, asked: int) -> None:
        """A round's messages are sent, so many."""
        self._least, self._answered = math.ceil(self._share * asked - 1e-9), 0

    def hear(self, reply: Message, deadline: float) -> float:
        """Until when is waited, now that a reply has come; one that is an error is none of those that are enough."""
        self._answered += not reply.has_error()
        enough = self._answered == self._least and not reply.has_error()
        return min(deadline, time.monotonic() + self._grace) if enough else deadline

    def leave(self, silent: Mapping[int, str], until: float) -> None:
        """A round is over.

        Args:
            silent: by node, the id of the message that it has not answered.
            until: by the monotonic clock, when these messages' time is over.
        """
        if self._share < 1:
            self._owed |= {node: (number, until) for node, number in silent.items()}

    def busy(self, grid: Grid) -> set[int]:
        """The nodes that are still at work on an earlier round; what others sent late of one is passed over."""
        if not self._owed:
            return set()
        came = {number for number, _ in Pulling(grid).look([number for number, _ in self._owed.values()])}
        now = time.monotonic()
        self._owed = {node: own for node, own in self._owed.items() if own[0] not in came and now < own[1]}
        return set(self._owed)
