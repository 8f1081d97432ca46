"""What Flower has no public way for: messages outside its runtime, a message's own numbers, redirects refused."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from types import CodeType
from typing import Any

import httpx
from flwr.app import Message
from flwr.common.constant import ErrorCode
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.run import Run, RunNotRunningException
from flwr.supercore.task_identity import TaskIdentity
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from common.errors import FedserError

__all__ = [
    "OVER",
    "RUN_REFUSED",
    "DecodeError",
    "Run",
    "empty_run",
    "from_bytes",
    "keep_identity",
    "let_messages_be_made",
    "refuse_redirects",
    "set_message_id",
    "set_sender",
    "to_bytes",
]

RUN_REFUSED = int(ErrorCode.INVALID_FAB)  # the code of an answer by which a node's policy refuses a run as a whole
OVER = (RunNotRunningException, httpx.TransportError)  # whoever pulls: the run was stopped, or the SuperLink is gone
_SENDS = "_send"  # by which each of Flower's clients sends


def let_messages_be_made(run: int) -> None:
    """Let this process make messages: Flower makes none outside a task, and asks for the task's numbers."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = run, 0, 1


@contextlib.contextmanager
def keep_identity() -> Iterator[None]:
    """At the end of the block put back who Flower thinks this process is, which ``let_messages_be_made`` changes."""
    names = ("_run_id", "_node_id", "_task_id")
    before = {name: getattr(TaskIdentity, name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(TaskIdentity, name, value)


def set_message_id(message: Message, number: str) -> None:
    """Give a message the id that Flower's own transport would have given it."""
    message.metadata.__dict__["_message_id"] = number


def set_sender(message: Message, node: int) -> None:
    """Name the node that a message is from."""
    message.metadata.__dict__["_src_node_id"] = node


def to_bytes(message: Message) -> bytes:
    """A message in the form in which it travels."""
    data: bytes = message_to_proto(message).SerializeToString()
    return data


def from_bytes(data: bytes) -> Message:
    """A message from ``to_bytes``.

    Raises:
        DecodeError: it is none.
    """
    message: Message = message_from_proto(ProtoMessage.FromString(data))
    return message


def empty_run(number: int) -> Run:
    """Flower's description of a run of which only the number is known."""
    return Run.create_empty(number)


def refuse_redirects() -> None:
    """Let no client of Flower's in this process, the open ones included, follow a redirect.

    Flower's follow any, to plain HTTP and into the caller's own network too, with the request and its signature. One
    that comes is an ``httpx.HTTPStatusError`` from now on, like every answer that is none. All of Flower's clients send
    in one place, which is replaced; a second call changes nothing.

    Raises:
        FedserError: this Flower sends in another way.
    """
    sends = getattr(ProtobufClient, _SENDS, None)
    if hasattr(sends, "__wrapped__"):
        return
    if sends is None or "_client" not in _names_in(sends.__code__):
        raise FedserError("this Flower sends in a way that is not known here; install the one in constraints.txt")

    @functools.wraps(sends)
    def send(client: ProtobufClient, *args: Any, **kwargs: Any) -> Any:
        client._client.follow_redirects = False
        return sends(client, *args, **kwargs)

    setattr(ProtobufClient, _SENDS, send)


def _names_in(code: CodeType) -> set[str]:
    """What a function and those within it look up."""
    within = (each for each in code.co_consts if isinstance(each, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*map(_names_in, within))
