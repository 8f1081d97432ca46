"""Bundles, runs and messages as a server would send them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.message import remove_content_from_message
from flwr.cli.build import build_fab_from_disk
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from client.node.flower import wire
from common import protocol

PROJECT = """
[project]
name = "tiny"
version = "1.0.0"
license = "Apache-2.0"
description = "a test"
[tool.flwr.app]
publisher = "fedser"
fab-include = ["**/*.py"]
[tool.flwr.app.components]
serverapp = "tiny.server:app"
clientapp = "tiny.client:app"
[tool.flwr.app.config]
seed = 0
{settings}
"""
EMPTY = "app = None\n"


def bundle(
    folder: Path, client: str = EMPTY, *, server: str = EMPTY, settings: str = "", more: Mapping[str, str] | None = None
) -> bytes:
    """A bundle with two apps, as Flower builds it, and files by their paths in it."""
    files = {"__init__.py": "", "client.py": client, "server.py": server}
    texts = {**{f"tiny/{name}": text for name, text in files.items()}, **(more or {})}
    for name, text in {"pyproject.toml": PROJECT.format(settings=settings), **texts}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    content: bytes = build_fab_from_disk(folder)
    return content


def run_of(number: int, fab: Fab, **changes: object) -> Run:
    """A run as the server tells of it."""
    run = Run.create_empty(number)
    values = {"fab_id": "fedser/tiny", "fab_version": "1.0.0", "fab_hash": fab.hash_str, "series_id": 7, **changes}
    for name, value in values.items():
        setattr(run, name, value)
    return run


def weights(value: float = 0.0) -> ArrayRecord:
    """A model of six numbers."""
    return ArrayRecord({"layer": Array(np.full((2, 3), value, np.float32))})


def scaling(value: float = 1.0) -> ArrayRecord:
    """Of three features."""
    return ArrayRecord({name: Array(np.full(3, value, np.float32)) for name in ("mean", "deviation")})


class Server:
    """What a SuperLink would answer; keeps all that reaches it.

    Attributes:
        inbox: messages to be pulled.
        pushed: messages that were sent, and their objects by id.
    """

    def __init__(self, runs: Mapping[int, Run], fabs: Mapping[int, list[Fab]]) -> None:
        self.runs, self.fabs = runs, fabs
        self.inbox: list[wire.Parcel] = []
        self.objects: dict[str, bytes] = {}
        self.heads: list[Message] = []
        self.trees: list[ObjectTree] = []
        self.pushed: dict[str, bytes] = {}
        self.seconds: list[float] = []
        self.confirmed: list[str] = []
        self.asked_for_fab = 0

    def ask(self, kind: str, content: RecordDict | None = None, run: int = 1, group: str = "1") -> Message:
        """Put a message into the inbox."""
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 0, run, 1
        content = RecordDict({protocol.CONFIG: ConfigRecord()}) if content is None else content
        parcel = wire.pack_parcel(Message(content, 99, kind, group_id=group))
        self.inbox.append(parcel)
        self.objects |= parcel.contents
        return parcel.message

    def receive(self) -> tuple[Message, ObjectTree] | None:
        if not self.inbox:
            return None
        parcel = self.inbox.pop(0)
        return _bare(parcel.message), parcel.tree

    def send(self, message: Message, object_tree: ObjectTree, clientapp_runtime: float) -> tuple[set[str], str]:
        self.heads.append(message)
        self.trees.append(object_tree)
        self.seconds.append(clientapp_runtime)
        return {node.object_id for node in iterate_object_tree(object_tree)}, "session"

    def get_run(self, run_id: int) -> Run:
        return self.runs[run_id]

    def get_fab(self, fab_hash: str, run_id: int) -> Fab:
        self.asked_for_fab += 1
        fabs = self.fabs[run_id]
        return fabs.pop(0) if len(fabs) > 1 else fabs[0]

    def pull_object(self, run_id: int, object_id: str) -> bytes:
        return self.objects[object_id]

    def push_object(self, run_id: int, session_id: str, object_id: str, contents: bytes) -> None:
        self.pushed[object_id] = contents

    def confirm_message_received(self, run_id: int, object_id: str) -> None:
        self.confirmed.append(object_id)

    def reply(self, number: int = -1) -> Message:
        """A message that reached the server, put together from the objects that did."""
        return wire.inflate(self.trees[number], self.pushed)

    def everything(self) -> bytes:
        """All bytes that reached the server."""
        return b"".join(self.pushed.values()) + repr(self.heads).encode()


def _bare(message: Message) -> Message:
    """The message without content, as a SuperLink announces it."""
    bare: Message = remove_content_from_message(message)
    return bare
