"""Replies pulled from the SuperLink, each by itself: what one site sent breaks, holds up and replaces nobody else's.

Flower's grid pulls all replies at once, and reads each as the site wrote it, children of children of objects: where one
can't be read, or its objects never come, those beside it are lost, for the SuperLink hands a reply out once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from flwr.app import Message
from flwr.serverapp import Grid

from common.flower.internals import OVER

PATIENCE = 2.0  # seconds that the others wait for a reply whose objects are still on their way
Pulled = tuple[str, Message | BaseException]


class Pulling:
    """The replies to some messages, as they come.

    Args:
        grid: Flower's way to the nodes.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._slow: dict[str, _Pull] = {}

    def look(self, ids: Iterable[str]) -> Iterator[Pulled]:
        """The replies that are there, each with the id of the message that it answers, or what was raised by it.

        A grid that is ``direct`` is this program's own: it is asked once for all, and what it raises is raised.

        Args:
            ids: of the messages that are not answered yet.

        Raises:
            BaseException: the run is over, or the SuperLink gone: then no reply comes any more.
        """
        if getattr(self._grid, "direct", False):
            yield from ((reply.metadata.reply_to_message_id, reply) for reply in self._grid.pull_messages(list(ids)))
            return
        for number in ids:
            known = self._slow.pop(number, None)
            pull = known or _Pull(self._grid, number)
            pull.join(0.0 if known else PATIENCE)
            if pull.is_alive():
                self._slow[number] = pull
            elif isinstance(pull.error, OVER):
                raise pull.error
            elif pull.error is not None:
                yield number, pull.error
            elif pull.came:
                yield number, pull.came[0]


class _Pull(threading.Thread):
    """One question for one reply, which a site can make last as long as Flower waits for objects: hours."""

    def __init__(self, grid: Grid, number: str) -> None:
        super().__init__(daemon=True)
        self._grid, self._number = grid, number
        self.came: list[Message] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Ask; see ``threading.Thread``."""
        try:
            self.came = list(self._grid.pull_messages([self._number]))
        except BaseException as error:  # whatever an object that was made by hand makes of its reader; OVER is one too
            self.error = error.with_traceback(None)  # it would keep all that a deep recursion held
