"""What a site's processes print: one line an event, and of Flower's lines those that say something, once."""

from __future__ import annotations

import logging
import sys

from common.escaping import PlainFormatter

# An app that raised, of which there is a traceback before; a handshake that failed, which Patience puts into words
_SAID_ELSEWHERE = ("Exit Code: 800", "SSL/TLS handshake error")


class Once(logging.Filter):
    """Of Flower's tries to reach the coordinator again only the first and the one that succeeds are told."""

    def __init__(self) -> None:
        super().__init__()
        self._lost = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is printed; its words may be changed."""
        text = record.getMessage()
        if text.startswith("Connection attempt failed"):
            first, self._lost = not self._lost, True
            return first and _say(record, "the coordinator cannot be reached; trying again until it can")
        if text.startswith("Connection successful"):
            lost, self._lost = self._lost, False
            return lost and _say(record, "the coordinator can be reached again")
        return record.levelno >= logging.WARNING and not text.startswith(_SAID_ELSEWHERE)


def _say(record: logging.LogRecord, text: str) -> bool:
    record.msg, record.args = text, ()
    return True


def begin(who: str) -> None:
    """Print this process's lines to stderr.

    Args:
        who: begins each line, after the time.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter(f"%(asctime)s {who}: %(message)s", "%Y-%m-%d %H:%M:%S"))
    own, flower = logging.getLogger("fedser"), logging.getLogger("flwr")
    own.handlers, flower.handlers = [handler], [handler]
    own.propagate = flower.propagate = False  # libraries add handlers of their own
    own.setLevel(logging.INFO)
    flower.filters = [Once()]
