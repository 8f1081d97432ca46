from __future__ import annotations

import logging
import tracemalloc
from pathlib import Path

import pytest

from client.node.audit.refusals import Refusals
from client.node.audit.site_log import AuditLog
from common.repeats import Repeats
from common.storage.hash_chain import Head


def test_what_is_refused_again_and_again_is_one_line_and_later_a_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit, now = AuditLog(tmp_path / "audit.jsonl"), [0.0]
    refusals = Refusals(audit, Repeats(clock=lambda: now[0]))
    asked = {"run": 7, "type": "train", "round": "1"}
    with caplog.at_level(logging.WARNING, "fedser.node"):
        for number in range(1000):
            refusals.add(asked | {"round": str(number)}, "the policy allows 3 rounds")
            refusals.tell_counted()
        refusals.add(asked, "the hash is another")
    assert [line.getMessage() for line in caplog.records] == [
        "run 7: train refused: the policy allows 3 rounds",
        "run 7: train refused: the hash is another; and 999 more before it, most of them known",
    ]
    assert [(line["why"], line.get("more")) for line in audit.entries()] == [
        ("the policy allows 3 rounds", None),
        ("the hash is another", 999),
    ]
    refusals.add(asked, "the hash is another")
    now[0] = 3600.0
    refusals.tell_counted()
    assert audit.entries()[-1]["more"] == 1


def test_a_server_that_never_says_the_same_fills_nothing_either(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path / "audit.jsonl")
    refusals = Refusals(audit, Repeats(clock=lambda: 0.0))
    for number in range(500):
        refusals.add({"run": number, "type": "train", "round": ""}, f"a reason {number}")
    assert len(audit.entries()) == 60


def test_the_node_remembers_what_is_asked_of_its_log_and_not_the_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path)
    audit.add("in", run=7, type="train", round="1", name="r-1", model="0" * 64, bytes=10)
    first = audit.head()
    with audit._chain.lock() as writer:
        for number in range(3000):
            writer.append("refused", run=number, type="train", round="1", why="the policy does not allow it")
    tracemalloc.start()
    later = AuditLog(path)
    assert [(line["run"], line["name"]) for line in later.settled()] == [(7, "r-1")]
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 300_000  # a hash of 32 bytes a line; the file has some 800,000
    assert later.contains(first)
    assert later.head() == Head(entries=3001, hash=audit.entries()[-1]["hash"])
