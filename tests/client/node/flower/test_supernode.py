from __future__ import annotations

import contextlib
import inspect
import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.constant import Status, SubStatus
from flwr.supercore.constant import TaskType
from flwr.supercore.corestate import CoreState
from flwr.supercore.task_identity import TaskIdentity
from flwr.supernode import fleet_http_connection
from flwr.supernode import start_client_internal as flower
from flwr.supernode.nodestate import InMemoryNodeState

from client.node.flower import hook, node_state, supernode
from client.node.flower.intake import Callbacks
from client.node.flower.node_state import NodeStates
from client.node.policy.clauses import DataPolicy, PrivacyPolicy
from client.node.policy.document import Policy
from client.node.site import keys, kit, log_lines
from client.node.site.node_settings import Address, NodeSettings, StateFolder
from common import protocol
from common.errors import FedserError, UsageError
from server.federation.folder.certificate import new_authority, new_key

NAMES = Callbacks._fields[1:]


def test_flower_is_as_the_guard_needs_it() -> None:
    hook.check_flower()
    source = inspect.getsource(fleet_http_connection.http_request_response)
    assert [name for name in NAMES if f"def {name}(" in source] == list(NAMES)
    assert "os.kill(os.getpid(), signal.SIGINT)" in source  # how it ends where the key is refused
    assert {"get_messages_legacy", "store_message", "_store_error_replies"} <= vars(InMemoryNodeState).keys()
    assert {"record_message_processing_start"} <= vars(InMemoryNodeState).keys()
    assert {"create_task", "get_tasks", "finish_task"} <= {name for name, _ in inspect.getmembers(CoreState)}
    assert "state.get_messages_legacy(is_reply=True)" in inspect.getsource(flower._push_messages)


def test_another_flower_ends_the_node_before_it_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    def _init_connection() -> None:
        """Connects by other means."""

    monkeypatch.setattr(flower, "_init_connection", contextlib.contextmanager(_init_connection))  # type: ignore[arg-type]
    with pytest.raises(FedserError, match=r"constraints\.txt"):
        hook.check_flower()


def callbacks(*names: str) -> tuple[Any, ...]:
    made: list[Any] = [7]
    for name in names:

        def callback() -> None:
            pass

        callback.__name__ = name
        made.append(callback)
    return tuple(made)


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What Flower's connection gives; the test may change it."""
    given = [callbacks(*NAMES)]

    @contextlib.contextmanager
    def connect(*_: object) -> Iterator[tuple[Any, ...]]:
        yield given[0]

    monkeypatch.setattr(flower, hook.HOOK, connect)
    return given


def opened() -> Any:
    address = ("127.0.0.1:1", True)
    with flower._init_connection(*address) as given:
        return given


def test_flowers_loop_is_given_the_guards_callbacks(connection: list[tuple[Any, ...]]) -> None:
    own = Callbacks(*callbacks(*NAMES))
    guard: Any = SimpleNamespace(callbacks=lambda: own)
    with hook.guard_connection(lambda _: guard):
        assert opened() is own
    assert opened() is connection[0]


def test_callbacks_in_another_order_end_the_node(connection: list[tuple[Any, ...]]) -> None:
    connection[0] = callbacks(*reversed(NAMES))
    with hook.guard_connection(lambda _: pytest.fail("unguarded")), pytest.raises(SystemExit):
        opened()


def unauthorized() -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "https://localhost")
    return httpx.HTTPStatusError("refused", request=request, response=httpx.Response(401, request=request))


def test_a_refused_key_is_known_from_a_wish_to_end() -> None:
    def handle() -> None:
        try:
            raise unauthorized()
        except httpx.HTTPStatusError:
            raise SystemExit(0)  # noqa: B904 - as a signal's handler does

    with pytest.raises(SystemExit) as end:
        handle()
    assert hook.is_unauthorized(end.value)
    assert not hook.is_unauthorized(SystemExit(0))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fails_ends_the_node_with_a_reason() -> None:
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    faults: list[BaseException] = []
    try:
        with hook.watch_threads(faults):
            for error in (RuntimeError("no heartbeat"), unauthorized()):
                thread = threading.Thread(target=_raise, args=(error,))
                thread.start()
                thread.join()
            time.sleep(0.05)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [str(fault) for fault in faults] == ["no heartbeat", "refused"]
    assert told == [signal.SIGTERM]  # a refused key ends Flower without


def _raise(error: BaseException) -> None:
    raise error


def site(folder: Path, policy: str = "") -> Path:
    folder.mkdir()
    (folder / "site.toml").write_text(
        'name = "st-mary"\nsuperlink = "localhost:1"\n[data]\ncorpus = "manifest"\nroot = "a"\nlabel_map = "l.toml"\n'
    )
    (folder / "policy.toml").write_text(policy)
    (folder / "ca.crt").write_text("")
    return folder


def settings(folder: Path, **more: Any) -> NodeSettings:
    return NodeSettings(kit=folder, state=StateFolder(folder=folder / "state"), data="/data", **more)


def test_the_app_is_told_of_places_by_the_site(tmp_path: Path) -> None:
    folder = site(tmp_path / "kit")
    told = supernode.node_config(settings(folder), kit.read(folder))
    assert told[protocol.NODE_SITE] == "st-mary"
    assert told[protocol.NODE_ROOT] == "/data/a"
    assert told[protocol.NODE_LABEL_MAP] == "/data/l.toml"
    mapped = Policy(data=DataPolicy(label_map="m.toml"))
    assert supernode.of_policy(mapped, "/data")[protocol.NODE_LABEL_MAP] == "/data/m.toml"
    assert protocol.NODE_LABEL_MAP not in supernode.of_policy(Policy(), "/data")
    assert told[protocol.NODE_LEDGER] == str(folder / "state" / "ledger")
    other = supernode.node_config(settings(folder, corpus="emodb", label_map="/m.toml"), kit.read(folder))
    assert other[protocol.NODE_CORPUS] == "emodb"
    assert other[protocol.NODE_LABEL_MAP] == "/m.toml"


def test_the_app_keeps_to_the_policys_budget() -> None:
    assert supernode.of_policy(Policy())[protocol.NODE_BUDGET] == 0.0
    told = supernode.of_policy(Policy(privacy=PrivacyPolicy(budget=3.0, report_epsilon=True)))
    assert told == {
        protocol.NODE_BUDGET: 3.0,
        protocol.NODE_BUDGET_UNIT: "",
        protocol.NODE_MAX_EPSILON: 10.0,
        protocol.NODE_REPORT_EPSILON: True,
        protocol.NODE_TEST_SPEAKERS: False,
    }
    assert supernode.of_policy(Policy(privacy=PrivacyPolicy(max_epsilon=math.inf)))[protocol.NODE_MAX_EPSILON] == 0.0
    assert math.isfinite(told[protocol.NODE_BUDGET])
    named = supernode.of_policy(Policy(privacy=PrivacyPolicy(unit="speaker", budget=3.0)))
    assert named[protocol.NODE_BUDGET_UNIT] == "speaker"


def test_a_mistake_is_one_line_before_anything_is_connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "begin", lambda _: None)
    umask = os.umask(0o022)
    try:
        with pytest.raises(UsageError, match=r"site\.toml"):
            supernode.run(settings(tmp_path / "none"))
        folder = site(tmp_path / "kit", "[bundle]\nhashs = []\n")
        with pytest.raises(UsageError, match=r"ca\.crt is no certificate"):
            supernode.run(settings(folder))
        (folder / "ca.crt").write_bytes(new_authority(new_key(), "localhost", datetime.now(UTC)).certificate_pem())
        with pytest.raises(UsageError, match="fedser site keygen"):
            supernode.run(settings(folder))
        (folder / "key").write_text("no key")
        with pytest.raises(UsageError, match="is not a key"):
            supernode.run(settings(folder))
        (folder / "key").unlink()
        keys.generate(folder)
        with pytest.raises(UsageError, match="hashs"):
            supernode.run(settings(folder))
        (folder / "policy.toml").write_text("")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(UsageError, match="cannot listen"):
                supernode.run(settings(folder, listen=Address(host="127.0.0.1", port=taken.getsockname()[1])))
    finally:
        os.umask(umask)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_what_the_policy_says_now_is_told_to_the_app_of_each_message(tmp_path: Path) -> None:
    folder = site(tmp_path / "kit", '[data]\nclasses = ["anger", "fear"]\n')
    (folder / "ca.crt").write_bytes(new_authority(new_key(), "localhost", datetime.now(UTC)).certificate_pem())
    keys.generate(folder)
    node = supernode.NodeParts(settings(folder), kit.read(folder))
    state = node.states.state()
    state.set_run_series_context(1, Context(1, 99, dict(node.config), RecordDict(), {}))
    for budget, unit in ((3.0, "speaker"), (2.0, "utterance"), (0.0, "")):
        clauses = f'[privacy]\nbudget = {budget}\nunit = "{unit}"\n' if budget else ""
        (folder / "policy.toml").write_text(f'[data]\nclasses = ["anger", "fear"]\n{clauses}')
        node.policy()  # which the guard does with each message
        context = state.get_run_series_context(1)
        assert context is not None
        told = context.node_config
        assert (told[protocol.NODE_BUDGET], told[protocol.NODE_BUDGET_UNIT]) == (budget, unit)
        assert told[protocol.NODE_SITE] == "st-mary"


# Flower's state of the node


def waiting(states: NodeStates) -> tuple[Message, int]:
    """A message in hand, and its task."""
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 0, 1, 1
    message = Message(RecordDict({"config": ConfigRecord()}), 7, protocol.HELLO)
    state = states.state()
    task = state.create_task(task_type=TaskType.CLIENT_APP, run_id=1, fab_hash="0" * 64)
    flower._insert_message(message, state, states.store)
    assert task is not None
    return message, task


def replies(states: NodeStates) -> list[Message]:
    return list(states.state().get_messages_legacy(is_reply=True))


@pytest.mark.parametrize("fetched", [False, True])
def test_a_task_that_failed_without_a_reply_is_answered_with_an_error(fetched: bool) -> None:
    states = NodeStates()
    message, task = waiting(states)
    state = states.state()
    token = state.claim_task(task)
    assert token
    if fetched:
        state.activate_task(task)
        state.get_messages_legacy(run_ids=[1], is_reply=False, limit=1)
        state.record_message_processing_start(message.metadata.message_id)
    state.finish_task(task, SubStatus.FAILED, "killed")
    [reply] = replies(states)
    assert reply.has_error()
    assert reply.metadata.reply_to_message_id == message.metadata.message_id
    assert states.store.get_object_tree(reply.metadata.message_id)


def test_a_task_that_failed_after_its_reply_is_answered_once() -> None:
    states = NodeStates()
    message, task = waiting(states)
    flower._insert_message(Message(RecordDict(), reply_to=message), states.state(), states.store)
    states.state().finish_task(task, SubStatus.FAILED, "its app raised")
    assert [reply.has_error() for reply in replies(states)] == [False]


def test_a_message_that_no_trainer_takes_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(node_state, "_REPLY_SECONDS", 0.01)
    states = NodeStates()
    waiting(states)
    assert replies(states) == []
    monkeypatch.setattr(node_state, "TRAINER_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING):
        assert len(replies(states)) == 1
    assert "no trainer" in caplog.text


def test_questions_are_answered_as_soon_as_there_is_something() -> None:
    states = NodeStates()
    state = states.state()
    came: list[float] = []

    def ask() -> None:
        assert state.get_tasks(statuses=[Status.PENDING], order_by="pending_at", ascending=True)
        came.append(time.monotonic())
        assert replies(states)
        came.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.1)
    started = time.monotonic()
    message, _ = waiting(states)
    time.sleep(0.1)
    flower._insert_message(Message(RecordDict(), reply_to=message), state, states.store)
    thread.join(5)
    assert came[0] - started < 0.09
    assert 0.09 < came[1] - started < 0.3


def test_of_flowers_lines_those_that_say_something_are_printed_once() -> None:
    once = log_lines.Once()

    def printed(level: int, text: str) -> str | None:
        record = logging.LogRecord("flwr", level, "", 0, text, (), None)
        return record.getMessage() if once.filter(record) else None

    trying = "Connection attempt failed, retrying in 1.00 seconds"
    assert printed(logging.INFO, "Receiving: train message") is None
    assert printed(logging.WARNING, trying) == "the coordinator cannot be reached; trying again until it can"
    assert printed(logging.WARNING, trying) is None
    assert printed(logging.INFO, "Connection successful after 9.00 seconds and 5 tries.") is not None
    assert printed(logging.WARNING, trying) is not None
    assert printed(logging.ERROR, "something else") == "something else"
    assert printed(logging.ERROR, "Exit Code: 800\nAn unhandled exception") is None
