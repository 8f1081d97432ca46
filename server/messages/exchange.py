"""Messages out, replies in: in the order of the messages, within a deadline, with flat memory.

Flower's own ``send_and_receive`` returns a list of all replies, in the order in which they came, and without a timeout
it waits for ever.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flwr.app import Message
from flwr.serverapp import Grid

from common.errors import FedserError
from common.flower import internals, packing

log = logging.getLogger("fedser.server")
POLL_SECONDS = 0.1


def exchange(grid: Grid, messages: Sequence[Message], timeout: float) -> Iterator[Message]:
    """Send messages and yield the replies in the messages' order.

    A reply that comes before its turn waits on disk. Where a node is gone the SuperLink answers, with an error; that
    reply has the node's number all the same. When ``timeout`` seconds have passed, the replies that are there are
    yielded and the others are given up. Arrays go packed, except over a grid that is ``direct``, where nothing travels.
    """
    deadline = time.monotonic() + timeout
    asked_of = [message.metadata.dst_node_id for message in messages]
    records: dict[int, Any] = {}
    for message in messages:
        message.metadata.ttl = timeout  # a site that comes back later trains no old round, and spends nothing on it
        if not getattr(grid, "direct", False):
            message.content = packing.pack(message.content, records)
    ids = enumerate(grid.push_messages(messages))
    place = {message_id: i for i, message_id in ids if message_id is not None}  # None: the SuperLink didn't take it
    turn = 0
    folder = Path(tempfile.mkdtemp(prefix="fedser-replies-"))
    try:
        early: dict[int, Path] = {}
        while place and time.monotonic() < deadline:
            asked = time.monotonic()
            came = {}
            for reply in _pull(grid, list(place)):
                if reply.metadata.reply_to_message_id in place:
                    i = place.pop(reply.metadata.reply_to_message_id)
                    # Where a node is gone the SuperLink answers in its own name: whose answer it is, we know.
                    internals.set_sender(reply, asked_of[i])
                    came[i] = reply
            if not came and time.monotonic() - asked < POLL_SECONDS:
                time.sleep(POLL_SECONDS)
            while turn in came or turn in early:
                yield _unpack(came.pop(turn) if turn in came else _take(early.pop(turn)))
                turn += 1
            for i, reply in came.items():
                early[i] = folder / str(i)
                early[i].write_bytes(internals.to_bytes(reply))
        for i in sorted(early):
            yield _unpack(_take(early[i]))
    finally:  # also where the caller ended early, by an error
        shutil.rmtree(folder, ignore_errors=True)


def _pull(grid: Grid, ids: list[str]) -> Iterator[Message]:
    """Pull the replies that are there; where one's bytes are no message, log that, and go on with the others."""
    try:
        yield from grid.pull_messages(ids)
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        internals.DecodeError,
    ) as error:  # of Flower's own reader
        log.warning("a reply is no message (%s); who sent it is not known, the others go on", type(error).__name__)


def _unpack(reply: Message) -> Message:
    """Unpack a reply's arrays in place; what is no packed record stays as the site sent it."""
    if reply.has_content():
        with contextlib.suppress(FedserError):  # the screening names what is wrong, and goes on with the others
            reply.content = packing.unpack(reply.content)
    return reply


def _take(path: Path) -> Message:
    message = internals.from_bytes(path.read_bytes())
    path.unlink()
    return message
