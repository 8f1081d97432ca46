from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message

from common.flower.packing import KEY, is_packed, pack
from common.messages.scope import Scope, forms_of
from server.messages.exchange import exchange
from server.rounds.screening import fault
from tests.server.replies import asked, failure, reply


class Post:
    """A grid whose replies come in an order of its own, so many a pull."""

    def __init__(self, order: list[int], at_once: int = 1) -> None:
        self.order, self.at_once = list(order), at_once
        self.sent: list[Message] = []

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        self.sent = list(messages)
        return [str(i) for i, _ in enumerate(self.sent)]

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        came = [self.order.pop(0) for _ in range(min(self.at_once, len(self.order)))]
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
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["1", "2", "3"]
    assert len(list(replies)) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_site_that_never_answers_is_given_up_and_the_others_are_kept() -> None:
    began = time.monotonic()
    assert received(Post([0, 3, 2]), 4, timeout=1.0) == [0, 2, 3]
    assert 0.9 < time.monotonic() - began < 5


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


def test_bytes_that_are_no_message_do_not_end_the_round(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Post):
        """The reader of Flower's own grid stumbles at the second pull."""

        def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
            if len(self.order) == 2 and not caplog.records:
                raise ValueError("Unexpected format for object content")
            return super().pull_messages(message_ids)

    assert received(Broken([0, 2, 1]), 4, timeout=1.0) == [0, 1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "a reply is no message (ValueError); who sent it is not known, the others go on"
    ]
