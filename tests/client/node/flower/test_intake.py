from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree

from client.node.flower import wire
from client.node.policy.clauses import BundlePolicy, PrivacyPolicy, RunPolicy
from client.node.policy.document import Policy
from common import protocol
from tests.client.node.bundles import scaling, weights
from tests.client.node.guarded import NODE, assert_refused, site_of, train_message

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"fab_id": "fedser/other"}, "fedser/other"),
        ({"fab_version": "2.0.0"}, "2.0.0"),
        ({"primary_task_type": TaskType.AGENT_APP}, "agentapp"),
        ({"override_config": {"privacy.unit": "speaker", "unknown": 1}}, "cannot be read"),
        ({"override_config": {"seed": -1}}, "seed"),
    ],
)
def test_a_run_that_is_not_what_it_says_is_refused(
    tmp_path: Path, fab: Fab, changes: dict[str, object], why: str
) -> None:
    site = site_of(tmp_path, fab, changes)
    train_message(site.server)
    assert_refused(site, why, ErrorCode.INVALID_FAB)


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + 18 * b"\0", b"no zip at all"])
def test_bytes_that_are_no_bundle_are_refused_even_where_their_hash_is_allowed(tmp_path: Path, content: bytes) -> None:
    site = site_of(tmp_path, Fab("", content, {}))
    train_message(site.server)
    assert_refused(site, "cannot be read", ErrorCode.INVALID_FAB)


def test_a_run_without_the_privacy_that_the_policy_asks_for_is_refused(tmp_path: Path, fab: Fab) -> None:
    policy = Policy(bundle=BundlePolicy(hashes=(fab.hash_str,)), privacy=PrivacyPolicy(unit="utterance"))
    site = site_of(tmp_path, fab, changes={"override_config": {"privacy.epsilon": "inf"}}, policy=policy)
    train_message(site.server)
    assert_refused(site, "is not private", ErrorCode.INVALID_FAB)
    site = site_of(tmp_path, fab, changes={"override_config": {"privacy.epsilon": "8.0"}}, policy=policy)
    train_message(site.server)
    assert site.take() is not None


def test_outside_the_hours_messages_of_an_allowed_run_are_refused(tmp_path: Path, fab: Fab) -> None:
    site = site_of(
        tmp_path, fab, policy=Policy(bundle=BundlePolicy(hashes=(fab.hash_str,)), run=RunPolicy(hours="20:00-06:00"))
    )
    train_message(site.server)
    assert_refused(site, "12:00")
    site.now = datetime(2026, 11, 21, 20, 0)  # noqa: DTZ001 - the node's own clock
    train_message(site.server)
    assert site.take() is not None  # the run itself was not refused


def test_a_run_has_one_name_in_the_ledger(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    for name in ("first", "first"):
        train_message(site.server, run=name)
        assert site.take() is not None
    train_message(site.server, run="second")
    assert_refused(site, "calls itself second in the ledger, and was first before")


def test_held_out_speakers_score_one_model_a_run(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)

    def ask(model: float, deviation: float) -> None:
        records = {protocol.ARRAYS: weights(model), protocol.SCALING: scaling(deviation)}
        site.server.ask(protocol.EVALUATE_TEST, RecordDict({**records, protocol.CONFIG: ConfigRecord()}))

    for _ in range(2):  # the same again is a retry
        ask(1.0, 1.0)
        assert site.take() is not None
    for other in ((2.0, 1.0), (1.0, 2.0)):
        ask(*other)
        assert_refused(site, "the held-out speakers have scored a model in this run")


def test_validation_speakers_say_of_one_model_a_run_how_sure_it_is(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    for kind, model in [(protocol.EVALUATE, 3.0), *[(protocol.EVALUATE_CONFIDENCE, 1.0)] * 2]:
        site.server.ask(kind, RecordDict({protocol.ARRAYS: weights(model), protocol.CONFIG: ConfigRecord()}))
        assert site.take() is not None
    for asked in ({protocol.ARRAYS: weights(2.0)}, {protocol.ARRAYS: weights(1.0), protocol.SCALING: scaling(2.0)}):
        site.server.ask(protocol.EVALUATE_CONFIDENCE, RecordDict({**asked, protocol.CONFIG: ConfigRecord()}))
        assert_refused(site, "the run was told how sure one model is of the validation speakers")


def test_a_message_for_another_site_or_an_answer_is_refused(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    content = RecordDict({protocol.CONFIG: ConfigRecord()})
    asked = site.server.ask(protocol.HELLO)
    site.server.inbox.clear()
    for message in (Message(content, NODE + 1, protocol.HELLO), Message(content, reply_to=asked)):
        parcel = wire.pack_parcel(message)
        site.server.inbox.append(parcel)
        site.server.objects |= parcel.contents
        assert_refused(site, "is an answer, or for another site")


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({protocol.ROUND: 10**6}, protocol.ROUND),
        ({protocol.ROUND: 1, "root": "/etc"}, "root"),
        ({protocol.ROUND: 1, protocol.PROXIMAL_MU: float("nan")}, protocol.PROXIMAL_MU),
        ({protocol.ROUND: 1, protocol.RUN: "../../x"}, protocol.RUN),
    ],
)
def test_a_message_out_of_bounds_is_refused(tmp_path: Path, fab: Fab, config: dict[str, object], why: str) -> None:
    site = site_of(tmp_path, fab)
    content = RecordDict({protocol.ARRAYS: weights(), protocol.CONFIG: ConfigRecord(config)})  # type: ignore[arg-type]
    site.server.ask(protocol.TRAIN, content)
    assert_refused(site, why)
    assert [entry["kind"] for entry in site.audit.entries()] == ["run", "refused"]


def test_a_record_that_no_app_asked_for_is_refused(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    site.server.ask(protocol.HELLO, RecordDict({"more": ConfigRecord({"a": 1})}))
    assert_refused(site, "more")


def test_a_message_is_judged_by_what_the_app_will_read(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server)
    parcel = site.server.inbox.pop()
    told = site.server.ask(protocol.HELLO)
    site.server.inbox.pop()
    site.server.inbox.append(wire.Parcel(message=told, tree=parcel.tree, contents=parcel.contents))
    assert_refused(site, "objects of another message")
    told.metadata.__dict__["_message_id"] = parcel.tree.object_id
    site.server.inbox.append(wire.Parcel(message=told, tree=parcel.tree, contents=parcel.contents))
    assert_refused(site, "message_type")


def test_an_object_with_another_content_is_refused(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server)
    parcel = site.server.inbox[0]
    leaf = next(iterate_object_tree(parcel.tree)).object_id
    site.server.objects[leaf] = site.server.objects[leaf].replace(b"\0", b"\1")
    assert_refused(site, "content is not what its name says")
