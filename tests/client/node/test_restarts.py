"""A node that was restarted, which a server can bring about, knows from its audit log what its runs have had."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.fab import Fab

from client.node.audit.site_log import AuditLog
from client.node.flower import intake
from client.node.policy.clauses import BundlePolicy, OutboundPolicy, RunPolicy
from client.node.policy.document import Policy
from common import protocol
from common.errors import FedserError
from common.storage import hash_chain
from tests.client.node.bundles import run_of, scaling, weights
from tests.client.node.gated import LEDGER, PRIVATE, content, counted
from tests.client.node.guarded import Site, assert_refused, release, site_of, train_message, update

pytestmark = pytest.mark.usefixtures("quick")


def policy_of(fab: Fab, most: int = 100, size: int = 2**20) -> Policy:
    allowed = BundlePolicy(hashes=(hashlib.sha256(fab.content).hexdigest(),))
    return Policy(bundle=allowed, run=RunPolicy(max_runs_day=most), outbound=OutboundPolicy(max_bytes_round=size))


def asked(folder: Path, fab: Fab, number: int, policy: Policy) -> Site:
    """A node that was just started, and is asked to train in a run."""
    site = site_of(folder, fab, policy=policy)
    site.server.runs, site.server.fabs = {number: run_of(number, fab)}, {number: [fab]}
    site.server.ask(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}), number)
    return site


def test_a_day_has_only_so_many_runs_and_restarts_in_them(tmp_path: Path, fab: Fab) -> None:
    policy = policy_of(fab, most=3)
    for number in (1, 2, 1):
        assert asked(tmp_path, fab, number, policy).take() is not None
    for number in (1, 3):
        site = asked(tmp_path, fab, number, policy)
        assert_refused(site, "3 runs were taken up in 24 hours; the policy allows 3", ErrorCode.INVALID_FAB)


def test_runs_that_were_refused_and_those_of_yesterday_do_not_count(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, refusing = policy_of(fab, most=2), Policy()
    yesterday = datetime.now(UTC) - timedelta(hours=25)
    with monkeypatch.context() as patch:
        patch.setattr(hash_chain, "datetime", type("Then", (), {"now": staticmethod(lambda _: yesterday)}))
        assert asked(tmp_path, fab, 1, policy).take() is not None
    assert asked(tmp_path, fab, 2, policy).take() is not None
    assert asked(tmp_path, fab, 3, refusing).take() is None
    site = asked(tmp_path, fab, 4, policy)
    assert site.take() is not None
    assert_refused(asked(tmp_path, fab, 5, policy), "2 runs were taken up in 24 hours", ErrorCode.INVALID_FAB)


def test_a_run_goes_on_when_the_day_is_over(tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of(fab, most=1)
    assert asked(tmp_path, fab, 1, policy).take() is not None
    site = asked(tmp_path, fab, 2, policy)
    assert_refused(site, "1 runs were taken up in 24 hours", ErrorCode.INVALID_FAB)
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    monkeypatch.setattr(intake, "datetime", type("Then", (), {"now": staticmethod(lambda _: tomorrow)}))
    site.server.ask(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}), 2)
    assert site.take() is not None


def test_held_out_speakers_score_one_model_a_run(tmp_path: Path, fab: Fab) -> None:
    for model, taken in ((1.0, True), (1.0, True), (2.0, False)):
        site = site_of(tmp_path, fab)
        records = {protocol.ARRAYS: weights(model), protocol.SCALING: scaling()}
        site.server.ask(protocol.EVALUATE_TEST, RecordDict({**records, protocol.CONFIG: ConfigRecord()}))
        assert (site.take() is not None) is taken
    assert "the held-out speakers have scored a model" in str(site.lines("refused")[-1]["why"])


def test_a_run_has_one_name_in_the_ledger(tmp_path: Path, fab: Fab) -> None:
    train_message((site := site_of(tmp_path, fab)).server, run="first")
    assert site.take() is not None
    train_message((site := site_of(tmp_path, fab)).server, run="second")
    assert_refused(site, "calls itself second in the ledger, and was first before")


def test_a_round_has_its_bytes_once(tmp_path: Path, fab: Fab) -> None:
    size = 2**20
    for _ in range(2):
        site = site_of(tmp_path, fab, policy=policy_of(fab, size=size))
        train_message(site.server)
        message = site.take()
        assert message is not None
        site.answer(Message(update(), reply_to=message))
        size = 2 * int(str(site.lines("out")[0]["bytes"])) - 1
    assert "would have left in a round" in str(site.lines("refused")[-1]["why"])


def test_a_refused_runs_verdict_is_noted_once_there_is_room(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = asked(tmp_path, fab, 1, Policy())
    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "add", full)
        assert site.take() is None
    site.server.ask(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}), 1)
    assert site.take() is None
    assert [line["bundle"] for line in site.lines("run")] == [fab.hash_str]


def full(*_: object, **__: object) -> None:
    raise FedserError("No space left on device")


def test_how_much_there_is_is_told_once_a_run(tmp_path: Path, fab: Fab) -> None:
    """Asked again a day later, after a restart of the node too, it would tell who came since."""
    for ended in (False, True, True):
        site = site_of(tmp_path, fab)
        site.server.ask(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}))
        message = site.take()
        assert (message is None) is ended
        if message is not None:
            site.answer(Message(counted(content(protocol.HELLO)), reply_to=message))
            assert site.lines("out")[-1]["counted"] == 40
    assert "the run was told how much there is here" in str(site.lines("refused")[-1]["why"])
    site.server.ask(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: "over"})}))
    message = site.take()
    assert message is not None
    site.answer(Message(counted(content(protocol.HELLO)), reply_to=message))
    assert "is not expected" in str(site.lines("refused")[-1]["why"])


def test_a_farewell_is_answered_with_the_name_alone(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    site.server.ask(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: "over"})}))
    message = site.take()
    assert message is not None
    told = RecordDict({protocol.CONFIG: ConfigRecord({protocol.SITE: "st-mary"})})
    site.answer(Message(counted(told), reply_to=message))
    left = site.server.reply().content.config_records[protocol.CONFIG]
    assert set(left) == {protocol.SITE, protocol.AUDIT_ENTRIES, protocol.AUDIT_HASH}


def test_a_private_update_tells_the_number_that_the_hello_told(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab, changes={"override_config": {"privacy.epsilon": "8.0"}})
    site.server.ask(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord()}))
    message = site.take()
    assert message is not None
    site.answer(Message(counted(content(protocol.HELLO, PRIVATE)), reply_to=message))
    train_message(site.server, **{protocol.RUN: "first"})
    message = site.take()
    assert message is not None
    came = update()
    del came[protocol.METRICS]
    more: Any = {protocol.METRICS: MetricRecord({protocol.EXAMPLES: 41}), protocol.CONFIG: ConfigRecord(LEDGER)}
    release(tmp_path, run="first")
    site.answer(Message(RecordDict({**came, **more}), reply_to=message))
    assert site.server.reply().content.metric_records[protocol.METRICS][protocol.EXAMPLES] == 40
