"""What may come in: a run and its bundle, then each of its messages, checked before Flower's SuperNode sees them."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self

from flwr.app import Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.fab import Fab
from flwr.supercore.run import Run

from client.node.audit import replay, witness
from client.node.audit.model_hash import model_hash
from client.node.audit.site_log import ALLOWED, AuditLog
from client.node.flower import wire
from client.node.flower.fab import CheckedRun, NotAllowed, check_run, hash_of
from client.node.flower.run_sums import RunSums
from client.node.flower.wire import Parcel
from client.node.gate.outbound import Refused
from client.node.policy import inbound
from client.node.policy.document import Policy
from client.node.secure.secure_node import Reserved
from common import protocol
from common.errors import FederationError
from common.flower import packing
from common.messages import masked_forms
from common.messages.npy import values_of
from common.repeats import Repeats
from common.storage.hash_chain import Head

log = logging.getLogger("fedser.node")

_SHOWN = 80  # characters of a text of the server's in a log


class Callbacks(NamedTuple):
    """What Flower's connection to the server gives its SuperNode, in its order."""

    node_id: int
    receive: Callable[[], tuple[Message, ObjectTree] | None]
    send: Callable[[Message, ObjectTree, float], tuple[set[str], str]]
    get_run: Callable[[int], Run]
    get_fab: Callable[[str, int], Fab]
    pull_object: Callable[[int, str], bytes]
    push_object: Callable[[int, str, str, bytes], None]
    confirm_message_received: Callable[[int, str], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A message that was taken in, and is not answered yet.

    Attributes:
        parcel: the message.
        run: whose it is.
        since: ``time.monotonic`` when it came.
        reserved: the sum that it is of, where its reply leaves behind masks.
    """

    parcel: Parcel
    run: CheckedRun
    since: float
    reserved: Reserved | None = None

    @property
    def message(self) -> Message:
        """The message, with its content."""
        return self.parcel.message

    def handed_over(self) -> Self:
        """The same without the bytes of its objects, which nobody asks for again."""
        return replace(self, parcel=replace(self.parcel, contents={}))


def about(message: Message) -> dict[str, Any]:
    """What each line of a log says of a message; its texts are the server's, and may be anything."""
    metadata = message.metadata
    records: Mapping[str, Mapping[str, Any]] = message.content.config_records if message.has_content() else {}
    config = records.get(protocol.CONFIG, {})
    number = str(config.get(protocol.ROUND, metadata.group_id))
    if metadata.message_type in masked_forms.ALONE:  # they name the sum that they are about
        number = str(records.get(protocol.SECURE, {}).get(protocol.NUMBER, number))
    kind, number = (" ".join(text[: 2 * _SHOWN].split())[:_SHOWN] for text in (metadata.message_type, number))
    return {"run": metadata.run_id, "type": kind, "round": number}


class Intake:
    """The runs that the server told of, and what the site makes of their messages.

    Args:
        server: Flower's own callbacks.
        policy: reads the site's policy; asked anew at each message and before each reply: a change holds at once.
        audit: the site's log.
        sums: the site in sums behind masks.
        clock: the time, for the policy's hours.
    """

    def __init__(
        self,
        server: Callbacks,
        policy: Callable[[], Policy],
        audit: AuditLog,
        sums: RunSums,
        clock: Callable[[], datetime],
    ) -> None:
        self._server, self._policy, self._audit, self._clock = server, policy, audit, clock
        self._sums = sums
        self._runs: dict[int, CheckedRun] = {}
        self._refused: dict[int, tuple[str, bool]] = {}  # why, and whether that is told, under this policy
        self._refused_under: Policy | None = None
        self._taken_up: set[int] = set()
        self._repeats = Repeats()

    def run(self, run_id: int) -> CheckedRun:
        """A run that was let in, with the policy of then.

        Raises:
            NotAllowed: none such was.
        """
        if run_id not in self._runs:
            raise NotAllowed(f"run {run_id} was not let in")
        return self._runs[run_id]

    def run_now(self, run_id: int) -> CheckedRun:
        """A run under the policy as it is now; its bundle is looked at when its first message comes.

        Raises:
            NotAllowed: the site takes no part in it; for the same policy that is not looked at again.
            UsageError: the policy cannot be read.
        """
        policy = self._policy()
        if run_id not in self._runs:
            self._look(run_id, policy)
        self._runs[run_id] = found = self._runs[run_id].under(policy)
        self._take_up(run_id, found)
        return found

    def _look(self, run_id: int, policy: Policy) -> None:
        if policy != self._refused_under:
            self._refused, self._refused_under = {}, policy
        if run_id in self._refused:
            why, told = self._refused[run_id]
            raise NotAllowed(why, told=told)
        announced = self._server.get_run(run_id)
        fab = self._server.get_fab(announced.fab_hash, run_id)
        try:
            self._runs[run_id] = check_run(announced, fab, policy)
        except NotAllowed as reason:
            with self._repeats.telling(str(reason)) as new:
                if new:
                    self._audit.add("run", run=run_id, bundle=hash_of(fab), verdict=str(reason))
            self._refused[run_id] = str(reason), reason.told
            raise

    def _take_up(self, run_id: int, found: CheckedRun) -> None:
        """Note that a run begins here, or goes on after the node was restarted, unless that is one too many today."""
        since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        lines = (line for line in self._audit.settled() if line["kind"] == "run" and line["verdict"] == ALLOWED)
        runs, most = [line["run"] for line in lines if line["time"] >= since], found.policy.run.max_runs_day
        known = run_id in self._taken_up
        taken = (len(runs) - 1 - runs[::-1].index(run_id) if run_id in runs else 0) if known else len(runs)
        if taken >= most:  # told again at its next message: tomorrow it may go on
            reason = f"{taken} runs were taken up in 24 hours; the policy allows {most} (run.max_runs_day)"
            raise NotAllowed(reason, told=True)
        if known:
            return
        bundle = found.run.fab_hash
        self._audit.add("run", run=run_id, bundle=bundle, verdict=ALLOWED, settings=digest(found.settings))
        self._taken_up.add(run_id)
        log.info("run %s: allowed, its bundle is %s", run_id, bundle)

    def check(self, message: Message, tree: ObjectTree) -> Asked:
        """Pull a message and look at it, and note that it came.

        Args:
            message: without content, as the server tells of it.
            tree: of its objects, likewise.

        Raises:
            NotAllowed: the run is not allowed.
            Refused: the policy refuses the message.
            FedserError: it is not what the server says, or the audit log is not, or cannot be written.
        """
        run = self.run_now(message.metadata.run_id)
        if message.metadata.reply_to_message_id or message.metadata.dst_node_id != self._server.node_id:
            raise Refused("the message is an answer, or for another site")
        parcel = wire.pull_parcel(message, tree, self._server.pull_object)
        config = _config(parcel.message)
        kind = parcel.message.metadata.message_type
        if reason := run.policy.message_refusal(kind, config, self._clock()):
            raise Refused(reason)
        self._check_audit_log(config)
        content = packing.unpack(parcel.message.content, values_of)
        if fault := inbound.fault(kind, content, run.config):
            raise Refused(fault)
        number, earlier = message.metadata.run_id, self._audit.settled()
        if run.config.privacy.at_sites:
            replay.check_answered(earlier, number, masked_forms.ALONE)
        settled = replay.check_replay(earlier, number, kind, config, content)
        told = witness.check_server_log(earlier, number, kind, config)
        reserved = self._sums.reserve(kind, content, run, earlier)
        if kind == protocol.HELLO:
            self._sums.end(content, run, earlier)
        self._audit.add("in", **about(parcel.message), bytes=parcel.size, model=model(content), **settled, **told)
        return Asked(parcel=parcel, run=run, since=time.monotonic(), reserved=reserved)

    def _check_audit_log(self, config: Mapping[str, Any]) -> None:
        """The server says what it was last told of this log: the log must have gone on from there."""
        if entries := config.get(protocol.AUDIT_ENTRIES):
            head = Head(entries=entries, hash=config.get(protocol.AUDIT_HASH, ""))
            if not self._audit.contains(head):
                raise FederationError(
                    f"the audit log {self._audit.path} was cut or rolled back: the server was told of {entries} lines "
                    "that it does not have; put the newest copy back"
                )


def _config(message: Message) -> dict[str, Any]:
    """A message's settings."""
    if message.has_error():
        raise Refused("the server sent an error instead of a message")
    return dict(message.content.config_records.get(protocol.CONFIG, {}))


def model(content: RecordDict) -> str | None:
    """The fingerprint of the weights in a message whose arrays are not packed, if it holds some."""
    record = content.array_records.get(protocol.ARRAYS)
    return None if record is None else model_hash(record)


def digest(settings: Mapping[str, Any]) -> str:
    """SHA-256 of a run's settings."""
    return hashlib.sha256(json.dumps(dict(settings), sort_keys=True).encode()).hexdigest()
