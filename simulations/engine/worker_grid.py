"""Flower's Grid on one machine: persistent worker processes, each node's data resident in one of them.

The same ServerApp and ClientApp run here as under ``flwr run``. Replies are handed over in the order of the messages,
through a bounded window, so that the server's memory doesn't grow with the number of nodes. A worker ends with its
parent, kill -9 included.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Self

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid

from common.errors import FederationError
from common.flower import internals
from common.processes.parent_watch import end_with_parent

WINDOW = 32  # how far ahead of the reply that is due a message may be sent
PATIENCE = 1.0  # seconds that one pull waits
RUN_ID = 1

Scalars = dict[str, Any]
Answering = Callable[[Message, Context], Message]  # a ClientApp, or one behind its node


def share_out(weights: Sequence[float], workers: int) -> list[int]:
    """Each node's worker: the heaviest node first, each to the worker with the least so far (Graham 1969)."""
    load = [0.0] * workers
    owner = [0] * len(weights)
    for node in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        owner[node] = min(range(workers), key=lambda w: (load[w], w))
        load[owner[node]] += weights[node]
    return owner


class Nodes:
    """The ClientApp's side: answers messages to any node from that node's own context."""

    def __init__(self, load: Callable[[], Answering], configs: Sequence[Scalars], run_config: Scalars) -> None:
        self._app = load()
        self._configs, self._run_config = configs, run_config
        self._contexts: dict[int, Context] = {}

    def answer(self, message: Message) -> Message:
        """The node's reply."""
        node = message.metadata.dst_node_id
        if node not in self._contexts:
            own = dict(self._configs[node - 1])
            self._contexts[node] = Context(RUN_ID, node, own, RecordDict(), dict(self._run_config))
        return self._app(message, self._contexts[node])


def _serve(pipe: Connection, load: Callable[[], Answering], configs: Sequence[Scalars], run_config: Scalars) -> None:
    end_with_parent()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    nodes = Nodes(load, configs, run_config)
    while (message := pipe.recv()) is not None:
        pipe.send(nodes.answer(message))


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    waiting: deque[Message] = field(default_factory=deque)
    busy: bool = False


def _report_end(worker: _Worker) -> FederationError:
    worker.process.join()
    return FederationError(
        f"a worker process ended (exit code {worker.process.exitcode}; -9 is usually want of memory); go on with "
        "--resume, perhaps with fewer --workers"
    )


class InProcessGrid(Grid):
    """A Grid over local processes; use it in a ``with`` block.

    Args:
        load: returns the ClientApp; called once in each worker.
        configs: each node's config; the i-th node has the id i + 1.
        run_config: what every app sees of the run.
        workers: processes; 0 answers in this one.
        weights: how much work each node is, to share the nodes out evenly; 1 each by default.
        on_reply: called with a node's id when its reply is there.
    """

    direct = True  # messages need not be packed: see server.messages.exchange

    def __init__(
        self,
        load: Callable[[], Answering],
        configs: Sequence[Scalars],
        run_config: Scalars,
        *,
        workers: int,
        weights: Sequence[float] | None = None,
        on_reply: Callable[[int], None] = lambda _: None,
    ) -> None:
        internals.let_messages_be_made(RUN_ID)
        self._arguments = (load, configs, run_config)
        self._size = len(configs)
        self._count = min(workers, self._size)
        self._owner = share_out(weights or [1.0] * self._size, max(1, self._count))
        self._on_reply = on_reply
        self._workers: list[_Worker] = []
        self._here: Nodes | None = None
        self._sent = 0
        self._due: deque[Message] = deque()
        self._replies: dict[str, Message] = {}

    def __enter__(self) -> Self:
        if not self._count:
            self._here = Nodes(*self._arguments)
        # A fork starts in milliseconds and shares the features that this process holds; elsewhere it isn't safe.
        context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, *self._arguments), daemon=True)
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for worker in self._workers:
            if kind or worker.busy:
                worker.process.kill()
            elif worker.process.is_alive():
                with contextlib.suppress(OSError):
                    worker.pipe.send(None)
            worker.process.join()
            worker.pipe.close()
        self._workers = []

    @property
    def run(self) -> internals.Run:
        """Flower's description of the run, of which only the id means anything here."""
        return internals.empty_run(RUN_ID)

    def set_run(self, run: internals.Run) -> None:
        """A grid has one run; there is nothing to set."""

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Make a message to a node."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """The nodes' ids, from 1."""
        return range(1, self._size + 1)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Queue messages; they go out as the window allows."""
        ids = []
        for message in messages:
            self._sent += 1
            internals.set_message_id(message, str(self._sent))
            self._due.append(message)
            if self._workers:
                self._workers[self._owner[message.metadata.dst_node_id - 1]].waiting.append(message)
            ids.append(message.metadata.message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:  # noqa: ARG002
        """The replies that are due, in the order of the messages; waits a moment for the first of them.

        Raises:
            FederationError: a worker process ended.
        """
        until = time.monotonic() + PATIENCE
        while self._due and self._due[0].metadata.message_id not in self._replies and time.monotonic() < until:
            self._work(until - time.monotonic())
        ready = []
        while self._due and (number := self._due[0].metadata.message_id) in self._replies:
            self._due.popleft()
            ready.append(self._replies.pop(number))
        return ready

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """All replies, in the order of the messages, as they come."""
        until = time.monotonic() + (timeout or float("inf"))
        left = set(self.push_messages(messages))
        while left and time.monotonic() < until:
            for reply in self.pull_messages(left):
                left.discard(reply.metadata.reply_to_message_id)
                yield reply

    def _work(self, seconds: float) -> None:
        if self._here is not None:
            self._keep(self._here.answer(self._due[0]))
            return
        self._dispatch()
        for pipe in wait([worker.pipe for worker in self._workers if worker.busy], seconds):
            worker = next(worker for worker in self._workers if worker.pipe is pipe)
            try:
                reply = worker.pipe.recv()
            except (EOFError, OSError):
                raise _report_end(worker) from None
            worker.busy = False
            self._keep(reply)
        self._dispatch()

    def _dispatch(self) -> None:
        """Send each idle worker its next message, unless it is too far ahead of the reply that is due."""
        first = int(self._due[0].metadata.message_id) if self._due else self._sent
        for worker in self._workers:
            if not worker.busy and worker.waiting:
                if int(worker.waiting[0].metadata.message_id) >= first + WINDOW:
                    continue
                try:
                    worker.pipe.send(worker.waiting.popleft())
                except OSError:
                    raise _report_end(worker) from None
                worker.busy = True

    def _keep(self, reply: Message) -> None:
        self._replies[reply.metadata.reply_to_message_id] = reply
        self._on_reply(reply.metadata.src_node_id)
