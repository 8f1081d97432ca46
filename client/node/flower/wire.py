"""A message's objects on their way: Flower sends a message as a tree of objects, each named by its content's SHA-256.

Inbound they are pulled and checked as a whole, before anything looks into them; outbound they are pushed from memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flwr.app import Message
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_children_ids_from_object_content,
    get_object_id,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPushError,
    inflate_object_from_contents,
    pull_objects,
    push_object_contents_from_iterable,
)
from flwr.supercore.object_store import ObjectStore

from common.errors import FederationError
from common.flower import internals

Send = Callable[[Message, ObjectTree, float], tuple[set[str], str]]
PushObject = Callable[[int, str, str, bytes], None]

_SAME = ("run_id", "message_type", "group_id", "src_node_id", "dst_node_id", "reply_to_message_id")
_POLL_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """A message with its objects.

    Attributes:
        message: with its content.
        tree: of its objects.
        contents: by the objects' ids.
    """

    message: Message
    tree: ObjectTree
    contents: dict[str, bytes]

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        return sum(map(len, self.contents.values()))


def pull_parcel(message: Message, tree: ObjectTree, pull: Callable[[int, str], bytes]) -> Parcel:
    """Pull a message's objects from the server, and check them.

    Args:
        message: without content, as the server tells of it.
        tree: likewise.
        pull: fetches an object of a run.

    Raises:
        FederationError: the objects are not those that the tree names, or hold another message than the server says.
    """
    run_id = message.metadata.run_id
    ids = dict.fromkeys(node.object_id for node in iterate_object_tree(tree))
    contents = pull_objects(list(ids), lambda object_id: pull(run_id, object_id))
    if message.metadata.message_id != tree.object_id:
        raise FederationError("the server sent the objects of another message")
    for node in iterate_object_tree(tree):
        _check(node, contents[node.object_id])
    whole = inflate(tree, contents)
    for name in _SAME:
        announced, received = getattr(message.metadata, name), getattr(whole.metadata, name)
        if announced != received:
            raise FederationError(
                f"the server says that a message's {name} is {announced!r}, in the message it is {received!r}"
            )
    return Parcel(message=whole, tree=tree, contents=contents)


def _check(node: ObjectTree, content: bytes) -> None:
    if get_object_id(content) != node.object_id:
        raise FederationError("the server sent an object whose content is not what its name says")
    if set(get_object_children_ids_from_object_content(content)) != {child.object_id for child in node.children}:
        raise FederationError("the server sent a tree of objects that is not theirs")


def wait_for_reply(store: ObjectStore, object_id: str, seconds: float) -> Message:
    """Wait until the app has put all objects of its reply into the node's store, and read the reply.

    Args:
        store: of the node.
        object_id: of the message.
        seconds: how long to wait for the next object.

    Raises:
        FederationError: an object is missing for too long.
    """
    tree = store.get_object_tree(object_id)
    contents = {node.object_id: _wait_for_object(store, node.object_id, seconds) for node in iterate_object_tree(tree)}
    return inflate(tree, contents)


def _wait_for_object(store: ObjectStore, object_id: str, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        content: bytes | None = store.get(object_id)
        if content:
            return content
        time.sleep(_POLL_SECONDS)
    raise FederationError(f"the app announced an answer and did not hand it over within {seconds:g} s")


def inflate(tree: ObjectTree, contents: dict[str, bytes]) -> Message:
    """Make a message of its objects.

    Raises:
        FederationError: they make up something else.
    """
    message = inflate_object_from_contents(tree.object_id, contents, keep_object_contents=True)
    if not isinstance(message, Message):
        raise FederationError(f"expected a message, found a {type(message).__name__}")
    internals.set_message_id(message, tree.object_id)  # which its content cannot hold
    return message


def pack_parcel(message: Message) -> Parcel:
    """Make a message that was written here ready to be sent; it gets its id."""
    with no_object_id_recompute():
        internals.set_message_id(message, message.object_id)
        contents = {name: item.deflate() for name, item in get_all_nested_objects(message).items()}
        return Parcel(message=message, tree=get_object_tree(message), contents=contents)


def push_parcel(parcel: Parcel, seconds: float, send: Send, push: PushObject) -> None:
    """Send a message and those of its objects that the server asks for.

    Args:
        parcel: the message.
        seconds: how long the app took, for the server's accounts.
        send: announces it.
        push: sends an object.
    """
    for last in (False, True):
        try:
            _push_once(parcel, seconds, send, push)
        except ObjectPushError:  # what was announced is forgotten by the server when it hears no more for 3 minutes
            if last:
                raise
        else:
            return


def _push_once(parcel: Parcel, seconds: float, send: Send, push: PushObject) -> None:
    run_id = parcel.message.metadata.run_id
    wanted, session = send(parcel.message, parcel.tree, seconds)
    push_object_contents_from_iterable(
        _chosen(parcel, wanted), lambda object_id, content: push(run_id, session, object_id, content)
    )


def _chosen(parcel: Parcel, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    return ((name, content) for name, content in parcel.contents.items() if name in wanted)
