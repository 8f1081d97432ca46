"""A guarded node with a server at the other end, and an app that is played by the test."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.object_store import ObjectStore, ObjectStoreFactory

from client.node.audit.site_log import AuditLog
from client.node.flower import guard as module
from client.node.flower import wire
from client.node.flower.guard import Guard
from client.node.flower.intake import Callbacks
from client.node.flower.run_sums import RunSums
from client.node.policy.clauses import BundlePolicy
from client.node.policy.document import Policy
from common import protocol
from common.privacy.accounting.accountants import Spend
from common.privacy.ledger.account import Ledger
from tests.client.node.bundles import Server, run_of, weights
from tests.client.node.secure.adding import identity

NODE = 99


class Site:
    """A guarded node with a server at the other end, and an app that is played by the test."""

    def __init__(
        self, folder: Path, server: Server, policy: Policy, clock: datetime | None = None, name: str = "st-mary"
    ) -> None:
        self.folder, self.server, self.policy, self.name = folder, server, policy, name
        self.now = clock or datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - the node's own clock
        self.audit = AuditLog(folder / "audit.jsonl")
        self.store: ObjectStore = ObjectStoreFactory().store()
        names = Callbacks._fields[1:]
        self.guard = Guard(
            Callbacks(NODE, *(getattr(server, name) for name in names)),
            site=name,
            policy=lambda: self.policy,
            audit=self.audit,
            store=self.store,
            ledger=folder / "ledger",
            sums=RunSums(folder / "sums", name, lambda: identity(name)),
            clock=lambda: self.now,
            patience=0.05,
        )
        self.flower = self.guard.callbacks()

    def restarted(self) -> Site:
        """The same after its process ended: what is not on the disk is gone."""
        return Site(self.folder, self.server, self.policy, self.now, self.name)

    def take(self) -> Message | None:
        """What Flower's loop does with a message, up to the app."""
        if (came := self.flower.receive()) is None:
            return None
        message, tree = came
        run_id = message.metadata.run_id
        run = self.flower.get_run(run_id)
        self.flower.get_fab(run.fab_hash, run_id)
        ids = {node.object_id for node in iterate_object_tree(tree)}
        contents = {name: self.flower.pull_object(run_id, name) for name in ids}
        self.flower.confirm_message_received(run_id, message.metadata.message_id)
        return wire.inflate(tree, contents)

    def answer(self, reply: Message, seconds: float = 3.0) -> None:
        """What the app leaves in the store, and Flower's loop then sends."""
        parcel = wire.pack_parcel(reply)
        self.store.preregister(reply.metadata.run_id, parcel.tree)
        for name, content in parcel.contents.items():
            self.store.put(name, content)
        assert self.flower.send(reply, parcel.tree, seconds) == (set(), "")

    def lines(self, kind: str) -> list[dict[str, object]]:
        """Of the audit log."""
        return [entry for entry in self.audit.entries() if entry["kind"] == kind]


def site_of(
    folder: Path,
    fab: Fab,
    changes: Mapping[str, object] | None = None,
    *,
    served: list[Fab] | None = None,
    policy: Policy | None = None,
) -> Site:
    server = Server({1: run_of(1, fab, **(changes or {}))}, {1: served or [fab]})
    allowed = BundlePolicy(hashes=(hashlib.sha256(fab.content).hexdigest(),))
    return Site(folder, server, policy or Policy(bundle=allowed))


# What a server says of its own log, that has one line; it grows with each message (``train_message``).
LOG: dict[str, Any] = {protocol.SERVER_LOG: "1f" * 32, protocol.SERVER_ENTRIES: 1, protocol.SERVER_HASH: "1f" * 32}
_GROWN = itertools.count(1)


def grown() -> int:
    """How many lines the server's log has by now."""
    return next(_GROWN)


def train_message(server: Server, **more: object) -> Message:
    config = ConfigRecord({protocol.ROUND: 1} | LOG | {protocol.SERVER_ENTRIES: grown()} | more)
    return server.ask(protocol.TRAIN, RecordDict({protocol.ARRAYS: weights(), protocol.CONFIG: config}))


def update(value: float = 1.0) -> RecordDict:
    metrics = MetricRecord({protocol.EXAMPLES: 40, protocol.LOSS: 0.5, protocol.SECONDS: 2.0})
    return RecordDict({protocol.ARRAYS: weights(value), protocol.METRICS: metrics, protocol.HELD: held()})


def release(folder: Path, number: int = 1, value: float = 1.0, run: str = "run") -> None:
    """What the app writes into the site's ledger before it answers a round."""
    ledger = Ledger.of_site(folder / "ledger", "st-mary")
    ledger.begin(run, {"unit": "utterance", "sample_rate": 0.1, "noise_multiplier": 1.0, "delta": 1e-5})
    with ledger.round(run, number) as entry:
        entry.reserve(Spend(unit="utterance", sample_rate=0.1, noise_multiplier=1.0, steps=10))
        entry.store(safetensors.numpy.save({"layer": np.full((2, 3), value, np.float32)}))


def held() -> ConfigRecord:
    """How much the site holds, which the gate keeps."""
    return ConfigRecord({protocol.RECORDINGS: 40, protocol.SPEAKERS: 4})


def assert_refused(site: Site, why: str, code: int = ErrorCode.CLIENT_APP_RAISED_EXCEPTION) -> None:
    """Nothing was handed on, the server got an error that tells nothing, the log says why.

    A run that the policy refuses as a whole is answered with the log's own line, which is of its settings alone.
    """
    assert site.take() is None
    reply = site.server.reply()
    assert reply.has_error()
    assert reply.error.code == code
    noted = str(site.lines("refused")[-1]["why"])
    told = f"{module.REFUSED}: {noted}"
    fixed = (module.REFUSED, module.FAILED)
    assert reply.error.reason in ((*fixed, told) if code == ErrorCode.INVALID_FAB else fixed)
    assert why in noted
    assert site.server.confirmed
