"""Between Flower's SuperNode and the server: the app gets no message that the policy does not allow, and the server no
reply that the gate did not make.

Flower's SuperNode talks to the server through seven callbacks; the guard stands in for each. Inbound it pulls a run's
bundle and a message's objects itself, checks them (``client.node.flower.intake``), and hands on just the bytes it
checked. Outbound it takes the app's reply out of the node's store, has it made anew (``client.node.gate.outbound``),
holds a private update against the ledger (``client.node.gate.accounted``), and sends that itself. What it refuses is
answered with an error of fixed text; why is for the site's own log. A run that the policy refuses as a whole is
answered with the policy's line too, so that its coordinator knows what to change: it is made of the run's own settings
and of a bound that trials would find as well. Nothing that a server or an app does raises into Flower's loop, which
would end the node.

A step is in the audit log before it happens: where the log cannot be written, no message is taken in, and nothing
leaves but that error.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.object_store import ObjectStore
from flwr.supercore.run import RunNotRunningException

from client.node.audit import replay
from client.node.audit.refusals import Refusals
from client.node.audit.site_log import AuditLog
from client.node.audit.spend import Spent
from client.node.flower import wire
from client.node.flower.fab import CheckedRun, NotAllowed
from client.node.flower.intake import Asked, Callbacks, Intake, about, model
from client.node.flower.run_sums import RunSums
from client.node.flower.wire import Parcel
from client.node.gate import outbound
from client.node.gate.accounted import check_accounted
from client.node.gate.outbound import Refused, RoundBytes, with_head
from client.node.policy.document import Policy
from common import protocol
from common.errors import FederationError, FedserError
from common.flower import packing
from common.messages import masked_forms
from common.messages.npy import values_of
from common.repeats import Repeats

log = logging.getLogger("fedser.node")

REFUSED = "refused by the site's policy"
FAILED = "the site failed; its own log says why"

BUSY_POLL, IDLE_POLL = 0.25, 2.0  # seconds between two questions for a message: while a run is on, and else
BUSY_SECONDS = 300.0  # since the last message: a run is on
PAUSE_SECONDS = 1.0  # after a refusal, so that no server fills the disk with them
HANDOVER_SECONDS = 60.0  # that an app may take for the next object of its reply


class Guard:
    """The guard of one connection to the server.

    Args:
        server: Flower's own callbacks.
        site: this site's name.
        policy: reads the site's policy.
        audit: the site's log.
        store: the node's objects, where the app leaves its replies.
        ledger: the folder of the site's ledger.
        sums: the site in sums behind masks.
        clock: the time, for the policy's hours.
        patience: how long ``receive`` waits for a message before it gives Flower's loop a turn, in seconds.
    """

    def __init__(
        self,
        server: Callbacks,
        *,
        site: str,
        policy: Callable[[], Policy],
        audit: AuditLog,
        store: ObjectStore,
        ledger: Path,
        sums: RunSums,
        clock: Callable[[], datetime] = datetime.now,
        patience: float = 600.0,
    ) -> None:
        self._server, self._site, self._audit, self._store, self._sums = server, site, audit, store, sums
        self._intake = Intake(server, policy, audit, sums, clock)
        self._spent = Spent(ledger, site, audit)
        self._sent = RoundBytes(line for line in audit.settled() if line["kind"] == "out")
        self._refusals = Refusals(audit, Repeats())
        self._patience = patience
        self._asked: Asked | None = None  # Flower's loop takes one message at a time
        self._last = -BUSY_SECONDS

    def callbacks(self) -> Callbacks:
        """What Flower's loop is given in place of its own."""
        return Callbacks(
            node_id=self._server.node_id,
            receive=self.receive,
            send=self.send,
            get_run=lambda run_id: self._intake.run(run_id).run,
            get_fab=lambda _, run_id: self._intake.run(run_id).fab,
            pull_object=self._pull_object,
            push_object=_push_nothing,
            confirm_message_received=self._confirm,
        )

    def receive(self) -> tuple[Message, ObjectTree] | None:
        """The next message that the policy allows; None when none came for a while."""
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            with self._survive("noting refusals"):
                self._refusals.tell_counted()
            with self._survive("asking the coordinator for a message"):
                if (came := self._server.receive()) is not None:
                    self._last = time.monotonic()
                    if self._accept(*came):
                        return came
                    continue
            time.sleep(BUSY_POLL if time.monotonic() - self._last < BUSY_SECONDS else IDLE_POLL)
        return None

    def _accept(self, message: Message, tree: ObjectTree) -> bool:
        """Check a message and its run, and keep it for the app; or answer it alone, or refuse it."""
        try:
            asked = self._intake.check(message, tree)
            self._spent.note(asked.run.config.privacy, asked.run.policy.privacy)
            if message.metadata.message_type not in masked_forms.ALONE:
                self._asked = asked
                return True
            parcel = self._answer_alone(asked)
        except Exception as reason:
            self._refuse_message(message, reason)
            time.sleep(PAUSE_SECONDS)
        else:
            with self._survive("sending the node's own answer"):
                self._push(parcel, 0.0)
        with self._survive("confirming a message that no app is given"):  # so that the server keeps it no longer
            self._server.confirm_message_received(message.metadata.run_id, message.metadata.message_id)
        return False

    def _refuse_message(self, message: Message, reason: Exception) -> None:
        if isinstance(reason, NotAllowed):
            text = f"{REFUSED}: {_line(reason)}" if reason.told else REFUSED
            self._refuse(message, reason, text, ErrorCode.INVALID_FAB)
        else:
            self._refuse(message, reason, REFUSED if isinstance(reason, Refused) else FAILED)

    def _answer_alone(self, asked: Asked) -> Parcel:
        """What the node itself answers, noted in the audit log; no app is started for it."""
        message, head = asked.message, self._audit.head()
        told = self._sums.answer(message.metadata.message_type, message.content, asked.run, self._audit.settled())
        content = with_head(told, head)
        parcel = wire.pack_parcel(Message(content, reply_to=message))
        self._note_out(asked, parcel, content, asked.run.policy)
        log.info("run %s: %s answered by the node", message.metadata.run_id, message.metadata.message_type)
        return parcel

    def _pull_object(self, run_id: int, object_id: str) -> bytes:
        if self._asked is None or self._asked.message.metadata.run_id != run_id:
            raise FederationError("no message of this run is in hand")
        return self._asked.parcel.contents[object_id]

    def _confirm(self, run_id: int, message_id: str) -> None:
        self._server.confirm_message_received(run_id, message_id)
        if self._asked is not None:
            self._asked = self._asked.handed_over()

    def send(self, message: Message, tree: ObjectTree, seconds: float) -> tuple[set[str], str]:
        """Send what may leave of an app's reply; Flower's loop is left nothing to push.

        Args:
            message: the reply, without content.
            tree: of its objects.
            seconds: how long the app took.
        """
        asked = self._asked
        if asked is None or message.metadata.reply_to_message_id != asked.message.metadata.message_id:
            log.warning("a reply to a message that is no longer in hand was dropped")
            return set(), ""
        self._asked = None
        with self._survive("sending a reply"):
            self._answer(asked, tree.object_id, seconds)
        return set(), ""

    def _answer(self, asked: Asked, reply: str, seconds: float) -> None:
        try:
            parcel = self._pass_out(asked, wire.wait_for_reply(self._store, reply, HANDOVER_SECONDS))
        except Exception as reason:
            self._refuse(asked.message, reason, REFUSED if isinstance(reason, (Refused, NotAllowed)) else FAILED)
            return
        private = asked.run.config.privacy.on  # then, and behind masks, not even the time that it took is told
        self._push(parcel, 0.0 if private or asked.reserved is not None else seconds)
        fields = about(asked.message)
        number = f" round {fields['round']}" if fields["round"] else ""
        took = time.monotonic() - asked.since
        log.info("run %s%s: %s answered in %.1f s, %d bytes", fields["run"], number, fields["type"], took, parcel.size)

    def _pass_out(self, asked: Asked, reply: Message) -> Parcel:
        """Make the reply as it leaves, and note it in the audit log."""
        if reply.has_error():
            raise FederationError(f"the app failed (Flower's code {reply.error.code}); the trainer's log says why")
        run, fields = self._intake.run_now(asked.message.metadata.run_id), about(asked.message)
        content = outbound.passed(
            reply, asked.message, site=self._site, policy=run.policy, config=run.config, head=self._audit.head()
        )
        kind, privacy = asked.message.metadata.message_type, run.config.privacy
        if privacy.on:
            replay.keep_count(kind, content, self._audit.settled(), fields["run"])
        if privacy.at_sites and kind == protocol.TRAIN:
            budget = run.policy.privacy.budget
            check_accounted(content, asked.message.content, self._spent.ledger(), budget=budget, privacy=privacy)
        leaving = self._masked(asked, content, run)
        packed = packing.pack(leaving) if packing.is_packed(asked.message.content) else leaving
        parcel = wire.pack_parcel(Message(packed, reply_to=asked.message))
        more = {"model": model(content), **self._spent.since(privacy), **replay.told_counts(kind, content)}
        self._note_out(asked, parcel, leaving, run.policy, **more)
        return parcel

    def _masked(self, asked: Asked, content: RecordDict, run: CheckedRun) -> RecordDict:
        """What leaves in place of a reply that passed, which the audit log has the plain fingerprint of."""
        if asked.reserved is None:
            return content
        return self._sums.masked(asked.reserved, packing.unpack(asked.message.content, values_of), content, run)

    def _note_out(self, asked: Asked, parcel: Parcel, content: RecordDict, policy: Policy, **more: Any) -> None:
        """Count what is about to leave, and note it in the audit log."""
        fields, records = about(asked.message), {name: sorted(record) for name, record in content.items()}
        self._sent.add(fields["run"], fields["round"], parcel.size, policy)
        self._audit.add("out", **fields, bytes=parcel.size, records=records, **more)

    def _refuse(
        self, message: Message, reason: Exception, text: str, code: int = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    ) -> None:
        """Answer with an error that tells nothing of the recordings, and note why."""
        with self._survive("noting a refusal"):
            self._refusals.add(about(message), _line(reason))
        with self._survive("answering with an error"):
            self._push(wire.pack_parcel(Message(Error(code, text), reply_to=message)), 0.0)

    def _push(self, parcel: Parcel, seconds: float) -> None:
        wire.push_parcel(parcel, seconds, self._server.send, self._server.push_object)

    @contextlib.contextmanager
    def _survive(self, doing: str) -> Iterator[None]:
        """Log what goes wrong with a server, and go on: what is raised into Flower's loop ends the node."""
        try:
            yield
        except RunNotRunningException:
            log.info("the run is over, nothing of it is answered any more (%s)", doing)
        except Exception as error:
            log.warning("%s failed: %s", doing, _line(error))


def _push_nothing(*_: object) -> None:
    raise FederationError("nothing is pushed but what the gate made")


def _line(error: Exception) -> str:
    """An error in one line, for the site's own log."""
    text = " ".join(str(error).split())
    return text if isinstance(error, FedserError) else f"{type(error).__name__}: {text}"
