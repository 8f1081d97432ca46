"""Of what is said again and again, once what it is, and later how often it came."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable, Iterator

WINDOW_SECONDS = 3600.0
MOST = 60  # different things that are told within the window


class Repeats:
    """Says which of many events are told, and counts the others.

    An event is told unless its like was within the window, or ``most`` others were: so whoever causes events, as often
    and as different as they like, fills neither a log nor a memory.

    Args:
        window: in seconds.
        most: how many are told within the window.
        clock: in seconds.

    Attributes:
        counted: how many were not told; whoever tells that sets it to 0.
    """

    def __init__(
        self, window: float = WINDOW_SECONDS, most: int = MOST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window, self._most, self._clock = window, most, clock
        self._told: dict[Hashable, float] = {}
        self.counted, self._since = 0, 0.0

    @contextlib.contextmanager
    def telling(self, event: Hashable) -> Iterator[bool]:
        """Within the block an event is told, if it is true that it is; where that fails, its like is told next time."""
        told = self.admit(event)
        try:
            yield told
        except BaseException:
            if told:
                del self._told[event]
            raise

    def admit(self, event: Hashable) -> bool:
        """Whether an event is told; else it is counted."""
        now = self._clock()
        self._told = {known: when for known, when in self._told.items() if now - when < self._window}
        if event not in self._told and len(self._told) < self._most:
            self._told[event] = now
            return True
        self._since = self._since if self.counted else now
        self.counted += 1
        return False

    @property
    def due(self) -> bool:
        """Whether it is time to tell how many were counted: the first of them is a window old."""
        return bool(self.counted) and self._clock() - self._since >= self._window
