from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.supercore.fab import Fab

from client.node.audit.site_log import verify
from common import protocol
from common.errors import FedserError
from common.storage.chained_file import Chain
from server.records.audit_log import ServerAudit
from tests.client.node.bundles import run_of, weights
from tests.client.node.guarded import Site, assert_refused, site_of, train_message, update

pytestmark = pytest.mark.usefixtures("quick")


def trained(site: Site, server: ServerAudit) -> None:
    """A round: the server says how far its log is, and its log grows."""
    train_message(site.server, **server.about())
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    server.note_refused(1, "train", {"b": "no answer"})


def ask(site: Site, head: dict[str, Any], run: int) -> None:
    config = ConfigRecord({protocol.ROUND: 1, **head})
    site.server.ask(protocol.TRAIN, RecordDict({protocol.ARRAYS: weights(), protocol.CONFIG: config}), run)


def told(tmp_path: Path, fab: Fab, rounds: int = 3) -> tuple[Site, ServerAudit, Path]:
    site, path = site_of(tmp_path, fab), tmp_path / "coordinator.jsonl"
    server = ServerAudit(path, 1, fab.hash_str)
    server.begin({}, ["st-mary"])
    for _ in range(rounds):
        trained(site, server)
    return site, server, path


def test_each_round_says_how_far_the_coordinators_log_is_and_the_site_keeps_it(tmp_path: Path, fab: Fab) -> None:
    site, _, path = told(tmp_path, fab)
    hashes = [line["hash"] for line in Chain(path).read()]
    assert [line["server"] for line in site.lines("in")] == [[hashes[0], i + 1, hashes[i]] for i in range(3)]
    found = verify(site.audit.path, path)
    assert (found.fault, found.coordinator_fault, found.told) == (None, None, 3)  # of 4: the last is told to nobody


def test_a_coordinators_log_that_was_cut_or_put_back_is_refused_also_in_a_run_that_is_gone_on_with(
    tmp_path: Path, fab: Fab
) -> None:
    site, _, path = told(tmp_path, fab)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    shorter = ServerAudit(path, 2, fab.hash_str)
    site.server.runs, site.server.fabs = {1: run_of(1, fab), 2: run_of(2, fab)}, {1: [fab], 2: [fab]}
    for number in (1, 2):
        ask(site, shorter.about(), number)
        assert_refused(site, "has not grown: it had 3 lines, now it has 2")
    shorter.note_refused(1, "train", {"c": "no answer"})  # as long again, and another
    ask(site, shorter.about(), 2)
    assert_refused(site, "has not grown: it had 3 lines, now it has 3")
    shorter.note_refused(1, "train", {"c": "no answer"})  # longer: it shows when the log itself is compared
    ask(site, shorter.about(), 2)
    assert site.take() is not None
    assert "had 3 lines; the coordinator cut it" in str(verify(site.audit.path, path).coordinator_fault)


def test_a_runs_log_is_not_begun_anew(tmp_path: Path, fab: Fab) -> None:
    site, _, path = told(tmp_path, fab)
    path.unlink()
    anew = ServerAudit(path, 1, fab.hash_str)
    anew.begin({}, ["st-mary"])
    train_message(site.server, **anew.about())
    assert_refused(site, "the coordinator's audit log of this run was begun anew")


def test_a_private_run_that_is_gone_on_with_under_another_number_keeps_its_log(tmp_path: Path, fab: Fab) -> None:
    site, path = site_of(tmp_path, fab), tmp_path / "coordinator.jsonl"
    site.server.runs, site.server.fabs = {1: run_of(1, fab), 2: run_of(2, fab)}, {1: [fab], 2: [fab]}
    for number, taken in ((1, True), (2, True), (2, False)):
        server = ServerAudit(path, number, fab.hash_str)
        server.begin({}, ["st-mary"])
        ask(site, {**server.about(), protocol.RUN: "run-a"}, number)
        assert (site.take() is not None) is taken
        if number == 2:
            path.unlink()
    assert "begun anew" in str(site.lines("refused")[-1]["why"])


def test_a_log_that_stays_as_it_was_is_refused(tmp_path: Path, fab: Fab) -> None:
    site, server, _ = told(tmp_path, fab)
    train_message(site.server, **server.about())
    assert site.take() is not None
    train_message(site.server, **server.about())
    assert_refused(site, "has not grown: it had 4 lines, now it has 4")


def test_two_runs_at_once_have_a_log_each(tmp_path: Path, fab: Fab) -> None:
    site, first, path = told(tmp_path, fab)
    site.server.runs, site.server.fabs = {1: run_of(1, fab), 2: run_of(2, fab)}, {1: [fab], 2: [fab]}
    second = ServerAudit(path.with_name("second.jsonl"), 2, fab.hash_str)
    second.begin({}, ["st-mary"])
    for number, log in ((2, second), (1, first), (2, second), (1, first)):
        ask(site, log.about(), number)
        assert site.take() is not None
        log.note_refused(1, "train", {"b": "no answer"})
    assert verify(site.audit.path, path).told == 5
    assert verify(site.audit.path, path.with_name("second.jsonl")).told == 2


@pytest.mark.parametrize(
    "head",
    [
        {protocol.SERVER_ENTRIES: 0},
        {protocol.SERVER_HASH: ""},
        {protocol.SERVER_LOG: ""},
    ],
)
def test_a_message_to_train_says_how_far_the_log_is(tmp_path: Path, fab: Fab, head: dict[str, Any]) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server, **head)
    assert_refused(site, "the message does not say how far the coordinator's audit log is")


@pytest.mark.parametrize("kept", [0, 2])
def test_a_log_that_is_written_anew_does_not_hold_against_the_sites(tmp_path: Path, fab: Fab, kept: int) -> None:
    site, _, path = told(tmp_path, fab)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    anew = ServerAudit(path, 1, fab.hash_str)
    for _ in range(5):
        anew.note_refused(1, "train", {"b": "a kinder word"})
    found = verify(site.audit.path, path)
    assert (found.fault, found.entries) == (None, 7)  # this site's own log is sound
    assert "wrote it anew" in str(found.coordinator_fault) or "was written anew" in str(found.coordinator_fault)


@pytest.mark.parametrize("content", [b"", b"no log at all"])
def test_a_file_that_this_site_was_told_nothing_of(tmp_path: Path, fab: Fab, content: bytes) -> None:
    site, _, path = told(tmp_path, fab)
    path.write_bytes(content)
    assert "this site was told of no log that begins as" in str(verify(site.audit.path, path).coordinator_fault)


def test_an_edited_line_and_a_missing_file_are_named(tmp_path: Path, fab: Fab) -> None:
    site, _, path = told(tmp_path, fab, rounds=1)
    path.write_text(path.read_text().replace("st-mary", "st-anna"))
    assert "line 1 was edited" in str(verify(site.audit.path, path).coordinator_fault)
    with pytest.raises(FedserError, match=r"expected the coordinator's audit\.jsonl of a run"):
        verify(site.audit.path, tmp_path / "none.jsonl")


def test_a_strangers_line_does_not_write_to_the_terminal(tmp_path: Path, fab: Fab) -> None:
    site, _, path = told(tmp_path, fab, rounds=1)
    line = {**Chain(path).read()[0], "n": "\x1b[2K sound"}
    rest = {key: value for key, value in line.items() if key != "hash"}
    line["hash"] = hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    path.write_text(json.dumps(line, separators=(", ", ": ")) + "\n")
    fault = str(verify(site.audit.path, path).coordinator_fault)
    assert "was line" in fault
    assert "\x1b" not in fault
