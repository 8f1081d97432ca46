from __future__ import annotations

import io
import threading
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_object_id
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.run import RunNotRunningException

from common.flower.internals import DecodeError
from common.flower.packing import KEY, is_packed, pack
from common.messages.scope import Scope, forms_of
from server.messages.exchange import exchange
from server.messages.quorum import Quorum
from server.rounds.screening import fault
from tests.server.replies import asked, failure, reply


class Post:
    """A grid whose replies come in an order of its own, so many with each question; it hands each out once."""

    def __init__(self, order: list[int], at_once: int = 1) -> None:
        self.order, self.at_once = list(order), at_once
        self.sent: list[Message] = []
        self.there: list[int] = []

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        self.sent = list(messages)
        return [str(i) for i, _ in enumerate(self.sent)]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        self.there += [self.order.pop(0) for _ in range(min(self.at_once, len(self.order)))]
        came = [int(number) for number in message_ids if int(number) in self.there]
        self.there = [i for i in self.there if i not in came]
        return [self._reply(i) for i in came]

    @staticmethod
    def _reply(i: int) -> Message:
        message = reply({"w": np.full(10, i, np.float32)}, node=i + 1)
        message.metadata.__dict__["_reply_to_message_id"] = str(i)
        return message


def received(post: Any, count: int, timeout: float = 10) -> list[int]:
    replies = exchange(post, [asked(i + 1) for i in range(count)], timeout)
    return [int(r.content.array_records["arrays"]["w"].numpy()[0]) for r in replies]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_whoever_answers_first_the_order_is_that_of_the_messages(order: list[int], at_once: int) -> None:
    assert received(Post(order, at_once), 4) == [0, 1, 2, 3]


def test_early_replies_wait_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    post = Post([3, 2, 1, 0])
    replies = exchange(post, [asked(i + 1) for i in range(4)], 10)  # type: ignore[arg-type]
    next(iter(replies))
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["2", "3"]
    assert len(list(replies)) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_site_that_never_answers_is_given_up_and_the_others_are_kept() -> None:
    began = time.monotonic()
    assert received(Post([0, 3, 2]), 4, timeout=1.0) == [0, 2, 3]
    assert 0.9 < time.monotonic() - began < 5


def test_where_enough_have_answered_the_others_have_the_grace_time_and_no_more() -> None:
    for order, at_once, share, expected in (
        ([0, 3], 1, 0.5, [0, 3]),
        ([3, 0], 2, 0.5, [0, 3]),
        ([0, 3, 2], 1, 0.5, [0, 2, 3]),  # the third comes within the grace time
        ([1, 2, 3, 0], 4, 0.25, [0, 1, 2, 3]),
    ):
        began, quorum = time.monotonic(), Quorum(share, 0.5)
        replies = exchange(Post(order, at_once), [asked(i + 1) for i in range(4)], 10, quorum)  # type: ignore[arg-type]
        assert [int(r.content.array_records["arrays"]["w"].numpy()[0]) for r in replies] == expected
        assert time.monotonic() - began < 3
        assert quorum.reached


def test_an_answer_that_is_an_error_is_none_of_those_that_are_enough() -> None:
    began, quorum = time.monotonic(), Quorum(0.5, 0.0)
    replies = exchange(Failing([0, 3]), [asked(i + 1) for i in range(4)], 1.0, quorum)  # type: ignore[arg-type]
    assert [r.has_error() for r in replies] == [False, True]
    assert 0.9 < time.monotonic() - began < 5
    assert not quorum.reached


class Failing(Post):
    """A grid whose last node answers with an error."""

    @staticmethod
    def _reply(i: int) -> Message:
        message = Post._reply(i) if i < 3 else failure(node=i + 1)
        message.metadata.__dict__["_reply_to_message_id"] = str(i)
        return message


def test_a_late_reply_to_an_earlier_message_is_passed_over() -> None:
    assert received(Post([0, 7, 1]), 2) == [0, 1]


def test_where_a_node_is_gone_the_superlinks_answer_counts_as_the_nodes() -> None:
    class Gone(Post):
        @staticmethod
        def _reply(i: int) -> Message:
            answer = failure(node=i + 1) if i == 1 else Post._reply(i)
            own = {"_reply_to_message_id": str(i)} | ({"_src_node_id": 1} if i == 1 else {})
            answer.metadata.__dict__.update(own)
            return answer

    replies = exchange(Gone([0, 1, 2]), [asked(i + 1) for i in range(3)], 10)  # type: ignore[arg-type]
    assert [(reply.metadata.src_node_id, reply.has_error()) for reply in replies] == [(1, False), (2, True), (3, False)]


def test_a_message_that_could_not_be_sent_is_not_waited_for() -> None:
    class Refusing(Post):
        def push_messages(self, messages: Iterable[Message]) -> list[Any]:
            return [None if i == 1 else str(i) for i, _ in enumerate(messages)]

    began = time.monotonic()
    assert received(Refusing([0, 2]), 3, timeout=30) == [0, 2]
    assert time.monotonic() - began < 5


def test_a_message_is_worth_nothing_once_its_answer_is_given_up() -> None:
    messages = [asked(1)]
    list(exchange(Post([0]), messages, 7.5))  # type: ignore[arg-type]
    assert messages[0].metadata.ttl == 7.5


def question() -> Message:
    message = asked()
    message.content["arrays"] = ArrayRecord({"b": Array(np.ones(2)), "a": Array(np.zeros(2))})
    return message


@pytest.mark.parametrize("direct", [True, False])
def test_arrays_go_packed_where_they_travel(direct: bool) -> None:
    class Packed(Post):
        @staticmethod
        def _reply(i: int) -> Message:
            message = Post._reply(i)
            message.content = message.content if direct else pack(message.content)
            return message

    post: Any = Packed([0])
    post.direct = direct
    [came] = exchange(post, [question()], 10)
    assert is_packed(post.sent[0].content) != direct
    assert came.content.array_records["arrays"]["w"].numpy().tolist() == [0.0] * 10
    assert came.content.metric_records["metrics"]["num-examples"] == 1


def test_a_packed_reply_that_cannot_be_read_is_left_to_the_screening() -> None:
    class Broken(Post):
        @staticmethod
        def _reply(i: int) -> Message:
            message = reply({KEY: np.zeros(3, np.uint8)}, node=i + 1)
            message.metadata.__dict__["_reply_to_message_id"] = str(i)
            return message

    post: Any = Broken([0])
    [came] = exchange(post, [asked()], 10)
    assert fault(came, Scope(model=forms_of({"w": np.zeros(10)}))) == f"its arrays: {KEY!r} is not expected"


class Spoilt(Post):
    """One reply's objects make Flower's own reader raise; as with the SuperLink, what was asked for with it is lost."""

    def __init__(self, order: list[int], bad: int, error: BaseException) -> None:
        super().__init__(order, at_once=9)
        self.bad, self.error = bad, error

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = super().pull_messages(message_ids)
        if any(reply.metadata.reply_to_message_id == str(self.bad) for reply in replies):
            raise self.error
        return replies


def chained(count: int) -> tuple[str, dict[str, bytes]]:
    """A reply of so many objects, each the one child of the next, as Flower stores them: its id, and their bytes."""
    contents, child = {}, ""
    for number in range(count):
        content = f"RecordDict {child} 0".encode() + b"\0" + b"" * number
        child = get_object_id(content)
        contents[child] = content
    return child, contents


@pytest.mark.parametrize("bad", [0, 1, 3])
def test_a_reply_of_chained_objects_costs_its_site_the_round_and_nobody_else(bad: int) -> None:
    class Chained(Spoilt):
        """Reads the bad reply as Flower's grid does."""

        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            try:
                return super().pull_messages(message_ids)
            except ValueError:
                inflate_object_from_contents(*chained(1500))
                raise

    post: Any = Chained([2, 0, 1, 3], bad, ValueError())
    replies = list(exchange(post, [asked(i + 1) for i in range(4)], 5))
    assert [reply.metadata.src_node_id for reply in replies] == [1, 2, 3, 4]
    assert [reply.has_error() for reply in replies] == [i == bad for i in range(4)]
    assert replies[bad].error.reason == "it cannot be read (RecursionError)"


@pytest.mark.parametrize(
    "error", [ValueError("head"), KeyError("Secret"), DecodeError(), MemoryError(), AttributeError(), GeneratorExit()]
)
def test_whatever_a_reply_raises_costs_its_site_the_round(error: BaseException) -> None:
    post: Any = Spoilt([0, 1, 2], 1, error)
    replies = list(exchange(post, [asked(i + 1) for i in range(3)], 5))
    assert [(r.metadata.src_node_id, r.has_error()) for r in replies] == [(1, False), (2, True), (3, False)]
    assert replies[1].error.reason == f"it cannot be read ({type(error).__name__})"


@pytest.mark.parametrize("error", [RunNotRunningException(), httpx.ConnectError("refused")])
def test_where_the_run_is_over_or_the_superlink_gone_the_exchange_ends(error: BaseException) -> None:
    post: Any = Spoilt([0, 1], 1, error)
    with pytest.raises(type(error)):
        list(exchange(post, [asked(i + 1) for i in range(2)], 5))


def test_a_reply_whose_objects_never_come_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class Withheld(Post):
        held = threading.Event()

        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            ids = list(message_ids)
            if "1" in ids:
                self.held.wait(30)
            return super().pull_messages(ids)

    monkeypatch.setattr("server.messages.pulling.PATIENCE", 0.05)
    post = Withheld([0, 1, 2], at_once=9)
    assert received(post, 3, timeout=1.0) == [0, 2]
    post.held.set()


def test_a_reply_counts_as_the_answer_to_what_was_asked_whatever_it_says_of_itself() -> None:
    class Forged(Post):
        @staticmethod
        def _reply(i: int) -> Message:
            answer = Post._reply(i)
            if i == 2:
                answer.metadata.__dict__.update({"_src_node_id": 1, "_reply_to_message_id": "0"})
            return answer

    post: Any = Forged([2, 0, 1], at_once=9)
    replies = list(exchange(post, [asked(i + 1) for i in range(3)], 5))
    values = [int(reply.content.array_records["arrays"]["w"].numpy()[0]) for reply in replies]
    assert [(reply.metadata.src_node_id, value) for reply, value in zip(replies, values, strict=True)] == [
        (1, 0),
        (2, 1),
        (3, 2),
    ]


def test_what_says_to_hold_more_than_it_does_is_not_made_room_for() -> None:
    """A packed array whose head says two gigabytes; Flower's own reader would allocate them before it looks."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (2**31,)})
    array = Array(dtype="uint8", shape=(2**31,), stype="numpy.ndarray", data=head.getvalue() + b"few")

    class Gigantic(Post):
        @staticmethod
        def _reply(i: int) -> Message:
            message = Post._reply(i)
            message.content = RecordDict({"arrays": ArrayRecord({KEY: array})})
            return message

    post: Any = Gigantic([0])
    tracemalloc.start()
    [came] = exchange(post, [asked()], 10)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24
    assert list(came.content.array_records["arrays"]) == [KEY]  # as it was: the screening says what is wrong
