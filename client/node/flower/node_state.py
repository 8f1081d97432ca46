"""Flower's state of a node, that leaves nobody waiting: questions are answered at once, and no failure hides.

Flower polls: its loop for the app's reply twice a second, the trainer for work once a second. Here both questions stay
open until there is something to tell. And Flower's loop waits for a reply for ever: here a task that failed before it
could reply, or that no trainer took, is answered with an error.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flwr.app import Context, Message
from flwr.app.user_config import UserConfig
from flwr.common.constant import Status, SubStatus
from flwr.proto.task_pb2 import Task
from flwr.supercore.date import now
from flwr.supercore.object_store import ObjectStore, ObjectStoreFactory
from flwr.supernode.nodestate import InMemoryNodeState, NodeStateFactory
from flwr.supernode.nodestate.in_memory_nodestate import CLIENT_APP_CRASHED_ERROR

log = logging.getLogger("fedser.node")

TRAINER_SECONDS = 60.0  # that a message waits for a trainer
_REPLY_SECONDS, _WORK_SECONDS = 0.5, 5.0  # that a question stays open
_WORK = {"statuses": [Status.PENDING], "order_by": "pending_at", "ascending": True}  # how a trainer's question asks


class NodeState(InMemoryNodeState):
    """The state of one node; Flower's loop asks in one thread, the trainer's questions come in others.

    Args:
        object_store: of its messages.
        config: what each message's app is told of the site, as it is then; None for what Flower keeps for each run.
    """

    def __init__(self, object_store: ObjectStore, config: UserConfig | None = None) -> None:
        super().__init__(object_store)
        self._config = config
        self._replied, self._tasked = threading.Event(), threading.Event()

    def get_run_series_context(self, series_id: int) -> Context | None:
        """As Flower's, which keeps what a run's first message was told of the site; here each is told what is now."""
        context: Context | None = super().get_run_series_context(series_id)
        if context is not None and self._config is not None:
            context.node_config = dict(self._config)
        return context

    def store_message(self, message: Message) -> str | None:
        """As Flower's; and the loop that waits for a reply looks again."""
        stored: str | None = super().store_message(message)
        self._replied.set()
        return stored

    def get_messages_legacy(
        self, *, run_ids: Sequence[int] | None = None, is_reply: bool | None = None, limit: int | None = None
    ) -> Sequence[Message]:
        """As Flower's; where replies are asked for and there is none, it waits for one for a moment."""
        self._replied.clear()
        found = super().get_messages_legacy(run_ids=run_ids, is_reply=is_reply, limit=limit)
        if found or not is_reply:
            return found
        self._replied.wait(_REPLY_SECONDS)
        self._give_up()
        return super().get_messages_legacy(run_ids=run_ids, is_reply=is_reply, limit=limit)

    def create_task(self, *args: Any, **kwargs: Any) -> int | None:
        """As Flower's; and the trainer that waits for work looks again."""
        task_id: int | None = super().create_task(*args, **kwargs)
        self._tasked.set()
        return task_id

    def get_tasks(self, **filters: Any) -> Sequence[Task]:
        """As Flower's; where a trainer asks for work and there is none, it waits for some for a while."""
        self._tasked.clear()
        found: Sequence[Task] = super().get_tasks(**filters)
        if found or filters != _WORK:
            return found
        self._tasked.wait(_WORK_SECONDS)
        return super().get_tasks(**filters)

    def finish_task(self, task_id: int, sub_status: str, details: str) -> bool:
        """As Flower's; and a message whose task failed without a reply is answered with an error."""
        finished: bool = super().finish_task(task_id, sub_status, details)
        if finished and sub_status == SubStatus.FAILED:
            self._answer({task.run_id for task in self.get_tasks(task_ids=[task_id])})
        return finished

    def _answer(self, run_ids: set[int]) -> None:
        with self.lock_msg_store:
            for entry in self.msg_store.values():
                metadata = entry.message.metadata
                if metadata.run_id in run_ids and not metadata.reply_to_message_id and not entry.is_retrieved:
                    entry.is_retrieved = True  # else Flower takes it for a message that the app may still fetch
                    self.record_message_processing_start(metadata.message_id)
        self._store_error_replies(run_ids, CLIENT_APP_CRASHED_ERROR)

    def _give_up(self) -> None:
        """Fail the tasks that no trainer took."""
        for task in super().get_tasks(statuses=[Status.PENDING]):
            if (now() - datetime.fromisoformat(task.pending_at)).total_seconds() > TRAINER_SECONDS:
                log.warning("no trainer took the message for %g s: is it running?", TRAINER_SECONDS)
                self.finish_task(task.task_id, SubStatus.FAILED, "no trainer took it")


class NodeStates(NodeStateFactory):
    """Makes the one state of a node, and its store of objects.

    Args:
        config: of ``NodeState``.
    """

    def __init__(self, config: UserConfig | None = None) -> None:
        super().__init__(ObjectStoreFactory())
        self.state_instance = NodeState(self.store, config)

    @property
    def store(self) -> ObjectStore:
        """Where messages' objects lie."""
        return self.objectstore_factory.store()
