from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.fab import Fab

from client.node.audit import verify
from client.node.clauses import BundlePolicy, RunPolicy
from client.node.policy import Policy
from common import protocol
from common.chain_file import Chain
from common.errors import ChainError, FedserError
from server.audit import ServerAudit
from tests.client.node.bundles import run_of
from tests.client.node.guarded import Site, assert_refused, site_of, train_message, update

pytestmark = pytest.mark.usefixtures("quick")


def trained(site: Site, server: ServerAudit) -> None:
    """A round: the server says how far its log is, and its log grows."""
    train_message(site.server, **server.about())
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    server.refused(1, "train", {"b": "no answer"})


def told(tmp_path: Path, fab: Fab, rounds: int = 3) -> tuple[Site, ServerAudit, Path]:
    site, path = site_of(tmp_path, fab), tmp_path / "coordinator.jsonl"
    server = ServerAudit(path, 1, fab.hash_str)
    server.begin({}, ["st-mary"])
    for _ in range(rounds):
        trained(site, server)
    return site, server, path


def test_each_round_says_how_far_the_coordinators_log_is_and_the_site_keeps_it(tmp_path: Path, fab: Fab) -> None:
    site, _, path = told(tmp_path, fab)
    assert [line["server"][0] for line in site.lines("in")] == [1, 2, 3]  # type: ignore[index]
    assert [line["server"][1] for line in site.lines("in")] == [line["hash"] for line in Chain(path).read()[:3]]  # type: ignore[index]
    found = verify(site.audit.path, path)
    assert (found.fault, found.told) == (None, 3)


def test_a_coordinators_log_that_was_cut_or_put_back_is_refused(tmp_path: Path, fab: Fab) -> None:
    site, _, path = told(tmp_path, fab)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    shorter = ServerAudit(path, 1, fab.hash_str)
    train_message(site.server, **shorter.about())
    assert_refused(
        site, "the coordinator's audit log was cut or put back: it had 3 lines in this run, and now it has 2"
    )
    shorter.refused(1, "train", {"c": "no answer"})  # as long again, and another
    train_message(site.server, **shorter.about())
    assert_refused(site, "the coordinator's audit log was cut or put back")


def test_what_a_message_says_of_the_log_must_be_a_head(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server, **{protocol.SERVER_ENTRIES: -1, protocol.SERVER_HASH: "0" * 64})
    assert_refused(site, "the message sets server-entries to -1")


@pytest.mark.parametrize("kept", [0, 2])
def test_a_log_that_is_written_anew_does_not_hold_against_the_sites(tmp_path: Path, fab: Fab, kept: int) -> None:
    site, _, path = told(tmp_path, fab)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
    anew = ServerAudit(path, 1, fab.hash_str)
    for _ in range(5):
        anew.refused(1, "train", {"b": "a kinder word"})
    assert "the coordinator cut it, put it back, or wrote it anew" in str(verify(site.audit.path, path).fault)


def test_an_edited_line_and_a_missing_file_are_named(tmp_path: Path, fab: Fab) -> None:
    site, _, path = told(tmp_path, fab, rounds=1)
    path.write_text(path.read_text().replace("st-mary", "st-anna"))
    with pytest.raises(ChainError, match="line 1 was edited"):
        verify(site.audit.path, path)
    with pytest.raises(FedserError, match=r"expected the coordinator's audit\.jsonl of a run"):
        verify(site.audit.path, tmp_path / "none.jsonl")


def test_another_runs_log_says_nothing_of_this_one(tmp_path: Path, fab: Fab) -> None:
    site, _, path = told(tmp_path, fab)
    other = ServerAudit(path.with_name("other.jsonl"), 2, fab.hash_str)
    other.begin({}, [])
    found = verify(site.audit.path, path.with_name("other.jsonl"))
    assert (found.fault, found.told) == (None, 0)


def test_a_day_has_only_so_many_runs_also_for_a_node_that_was_restarted(tmp_path: Path, fab: Fab) -> None:
    allowed = BundlePolicy(hashes=(hashlib.sha256(fab.content).hexdigest(),))
    policy = Policy(bundle=allowed, run=RunPolicy(max_runs_day=2))
    for number in (1, 2, 1, 3):  # each by a node of its own, which knows the others from the log alone
        site = site_of(tmp_path, fab, policy=policy)
        site.server.runs, site.server.fabs = {number: run_of(number, fab)}, {number: [fab]}
        site.server.ask(protocol.TRAIN, RecordDict({protocol.CONFIG: ConfigRecord({protocol.ROUND: 1})}), number)
        if number < 3:
            assert site.take() is not None
    assert_refused(
        site, "2 other runs began in 24 hours; the policy allows 2 (run.max_runs_day)", ErrorCode.INVALID_FAB
    )
