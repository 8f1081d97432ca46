"""Messages out, replies in: in the order of the messages, within a deadline, with flat memory.

Flower's own ``send_and_receive`` returns a list of all replies, in the order in which they came, and without a timeout
it waits for ever.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flwr.app import Error, Message
from flwr.serverapp import Grid

from common.errors import FedserError
from common.flower import internals, packing
from common.messages.npy import values_of
from server.messages.pulling import Pulling
from server.messages.quorum import Quorum
from server.messages.rejections import unreadable

POLL_SECONDS = 0.1
UNREADABLE = 0  # Flower's code of an error that it has no other for


def exchange(
    grid: Grid, messages: Sequence[Message], timeout: float, quorum: Quorum | None = None
) -> Iterator[Message]:
    """Send messages and yield the replies in the messages' order.

    A reply that comes before its turn waits on disk. Where a node is gone the SuperLink answers, with an error; that
    reply has the node's number all the same, and so has an error in place of a reply that cannot be read. When
    ``timeout`` seconds have passed, or the ``quorum`` says so, the replies that are there are yielded and the others
    are given up. Arrays go packed, except over a grid that is ``direct``, where nothing travels.
    """
    quorum = quorum or Quorum()
    quorum.begin(len(messages))
    over = deadline = time.monotonic() + timeout
    records: dict[int, Any] = {}
    for message in messages:
        message.metadata.ttl = timeout  # a site that comes back later trains no old round, and spends nothing on it
        if not getattr(grid, "direct", False):
            message.content = packing.pack(message.content, records)
    ids = enumerate(grid.push_messages(messages))
    place = {message_id: i for i, message_id in ids if message_id}  # none: the SuperLink didn't take it
    turn, pulling = 0, Pulling(grid)
    folder = Path(tempfile.mkdtemp(prefix="fedser-replies-"))
    try:
        early: dict[int, Path] = {}
        while place and time.monotonic() < deadline:
            asked = time.monotonic()
            came = {}
            for number, reply in pulling.look(list(place)):
                if number in place:
                    i = place.pop(number)
                    came[i] = _read(reply, messages[i])
                    deadline = quorum.hear(came[i], deadline)
            if not came:
                time.sleep(max(POLL_SECONDS, time.monotonic() - asked))  # no more than half of the SuperLink's time
            while turn in came or turn in early:
                yield came.pop(turn) if turn in came else _take(early.pop(turn), messages[turn])
                turn += 1
            for i, reply in came.items():
                early[i] = _keep(reply, folder / str(i), messages[i])
        quorum.leave({messages[i].metadata.dst_node_id: number for number, i in place.items()}, over)
        for i in sorted(early):
            yield _take(early[i], messages[i])
    finally:  # also where the caller ended early, by an error
        shutil.rmtree(folder, ignore_errors=True)


def _read(reply: Message | BaseException, asked: Message) -> Message:
    """A reply, its arrays unpacked; what is no packed record stays as the site sent it.

    Args:
        reply: as it was pulled, or what was raised there.
        asked: whose answer it is, whatever it says of itself: for a node that is gone the SuperLink answers.
    """
    try:
        if isinstance(reply, BaseException):
            return _failed(reply, asked)
        if reply.has_content():
            with contextlib.suppress(FedserError):  # the screening names what is wrong, and goes on with the others
                reply.content = packing.unpack(reply.content, values_of)
        internals.set_sender(reply, asked.metadata.dst_node_id)
    except Exception as error:  # of Flower's own readers too
        return _failed(error, asked)
    return reply


def _keep(reply: Message, path: Path, asked: Message) -> Path:
    """Write a reply to disk, or an error in its place."""
    try:
        content = internals.to_bytes(reply)
    except Exception as error:
        content = internals.to_bytes(_failed(error, asked))
    path.write_bytes(content)
    return path


def _take(path: Path, asked: Message) -> Message:
    content = path.read_bytes()
    path.unlink()
    try:
        return internals.from_bytes(content)
    except Exception as error:
        return _failed(error, asked)


def _failed(error: BaseException, asked: Message) -> Message:
    """An error in place of a site's reply, from that site."""
    reply = Message(Error(UNREADABLE, unreadable(error)), reply_to=asked)
    internals.set_sender(reply, asked.metadata.dst_node_id)
    return reply
