from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from client.node.audit import site_log
from client.node.audit.site_log import AuditLog, verify
from common.errors import FedserError, UsageError
from common.storage.hash_chain import Head

Lines = list[bytes]


def written(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit" / "audit.jsonl")
    log.add(site_log.START, version="0.1.0")
    log.add(site_log.IN, type="train", round=1, bytes=100)
    log.add(site_log.OUT, type="train", records=["arrays"], bytes=100)
    log.add(site_log.REFUSED, why="the run's ε is 20")
    return log


def test_a_log_grows_and_knows_its_past(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    assert log.head() == Head(entries=0, hash="0" * 64)
    heads = [log.head(), log.add(site_log.START), log.add(site_log.STOP)]
    assert [head.entries for head in heads] == [0, 1, 2]
    assert log.head() == heads[2] == AuditLog(log.path).head()
    assert all(log.contains(head) for head in heads)
    assert not log.contains(Head(entries=3, hash=heads[2].hash))
    assert not log.contains(Head(entries=1, hash=heads[2].hash))
    assert [entry["kind"] for entry in log.entries()] == ["start", "stop"]


def test_a_cut_tail_and_an_older_copy_show_against_a_head_that_was_told(tmp_path: Path) -> None:
    log = written(tmp_path)
    older, told = log.path.read_bytes(), log.add(site_log.STOP)
    log.path.write_bytes(older)
    assert verify(log.path).fault is None  # a sound log, only shorter
    assert not AuditLog(log.path).contains(told)
    AuditLog(log.path).add(site_log.START)  # as long as before, but another
    assert not AuditLog(log.path).contains(told)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean refused"):
        AuditLog(tmp_path / "audit.jsonl").add("refuse")


def test_verify_tells_what_there_is(tmp_path: Path) -> None:
    log = written(tmp_path)
    found = verify(log.path)
    assert (found.entries, found.head, found.fault) == (4, log.head().hash, None)
    assert found.kinds == {"start": 1, "in": 1, "out": 1, "refused": 1}
    assert found.first is not None
    assert found.last is not None
    assert found.first <= found.last
    with pytest.raises(FedserError, match="no audit log at"):
        verify(tmp_path / "none.jsonl")


def edited(lines: Lines) -> Lines:
    return [*lines[:1], lines[1].replace(b'"bytes": 100', b'"bytes": 999'), *lines[2:]]


def rehashed(lines: Lines) -> Lines:
    """A forger who mends the line's own hash, and no more."""
    from common.storage.hash_chain import _hash

    entry = json.loads(lines[1]) | {"bytes": 999}
    entry["hash"] = _hash({key: value for key, value in entry.items() if key != "hash"})
    return [lines[0], json.dumps(entry).encode(), *lines[2:]]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (edited, "line 2 was edited"),
        (rehashed, "line 3 does not follow the line before it"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 was line 3 once"),
        (lambda lines: lines[1:], "line 1 was line 2 once"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "line 2 was line 3 once"),
        (lambda lines: [*lines[:2], *lines[1:]], "line 3 was line 2 once"),
        (lambda lines: [*lines[:2], b"{}", *lines[2:]], "line 3 is no line of a hash chain"),
    ],
)
def test_verify_names_the_first_fault(tmp_path: Path, change: Callable[[Lines], Lines], fault: str) -> None:
    log = written(tmp_path)
    log.path.write_bytes(b"\n".join([*change(log.path.read_bytes().splitlines()), b""]))
    found = verify(log.path)
    assert found.fault is not None
    assert fault in found.fault
    assert found.entries is None
    with pytest.raises(FedserError):
        AuditLog(log.path).add(site_log.STOP)


def test_on_a_full_disk_the_line_is_refused_and_the_log_stays_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = written(tmp_path)
    before, real = log.path.read_bytes(), os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 10:
            return real(descriptor, data[:10], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(FedserError, match=r"audit.jsonl cannot be written: No space left on device; free space there"):
        log.add(site_log.OUT, note="x" * 10)
    assert log.path.read_bytes() == before
    monkeypatch.undo()
    assert log.add(site_log.STOP).entries == 5


def test_threads_take_turns(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    threads = [threading.Thread(target=lambda: [log.add(site_log.IN) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(log.path).entries == 40
