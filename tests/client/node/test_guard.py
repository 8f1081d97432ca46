from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import iterate_object_tree
from flwr.supercore.inflatable.inflatable_utils import ObjectPushError
from flwr.supercore.object_store import ObjectStore, ObjectStoreFactory
from flwr.supercore.run import RunNotRunningException

from client.node import guard as module
from client.node import wire
from client.node.audit import AuditLog
from client.node.clauses import BundlePolicy, OutboundPolicy, PrivacyPolicy, RunPolicy
from client.node.guard import Guard
from client.node.intake import Callbacks
from client.node.policy import Policy
from common import protocol
from common.errors import FedserError
from common.packing import is_packed, pack, unpack
from tests.client.node.bundles import Server, bundle, run_of, weights

PASSWD = "import pathlib\npathlib.Path({mark!r}).write_text(pathlib.Path('/etc/passwd').read_text())\napp = None\n"
NODE = 99
SETTINGS = """privacy.epsilon = "inf"
privacy.unit = "utterance"
data.normalise = "utterance"
data.validation = "none"
training.class_weights = false
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BUSY_POLL", "IDLE_POLL", "PAUSE_SECONDS", "HANDOVER_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)


@pytest.fixture
def fab(tmp_path: Path) -> Fab:
    content = bundle(tmp_path / "bundle", settings=SETTINGS)
    return Fab(hashlib.sha256(content).hexdigest(), content, {})


class Site:
    """A guarded node with a server at the other end, and an app that is played by the test."""

    def __init__(self, folder: Path, server: Server, policy: Policy, clock: datetime | None = None) -> None:
        self.server, self.policy = server, policy
        self.now = clock or datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - the node's own clock
        self.audit = AuditLog(folder / "audit.jsonl")
        self.store: ObjectStore = ObjectStoreFactory().store()
        names = Callbacks._fields[1:]
        self.guard = Guard(
            Callbacks(NODE, *(getattr(server, name) for name in names)),
            site="st-mary",
            policy=lambda: self.policy,
            audit=self.audit,
            store=self.store,
            ledger=folder / "ledger",
            clock=lambda: self.now,
            patience=0.05,
        )
        self.flower = self.guard.callbacks()

    def take(self) -> Message | None:
        """What Flower's loop does with a message, up to the app."""
        if (came := self.flower.receive()) is None:
            return None
        message, tree = came
        run_id = message.metadata.run_id
        run = self.flower.get_run(run_id)
        self.flower.get_fab(run.fab_hash, run_id)
        ids = {node.object_id for node in iterate_object_tree(tree)}
        contents = {name: self.flower.pull_object(run_id, name) for name in ids}
        self.flower.confirm_message_received(run_id, message.metadata.message_id)
        return wire.inflated(tree, contents)

    def answer(self, reply: Message, seconds: float = 3.0) -> None:
        """What the app leaves in the store, and Flower's loop then sends."""
        parcel = wire.packed(reply)
        self.store.preregister(reply.metadata.run_id, parcel.tree)
        for name, content in parcel.contents.items():
            self.store.put(name, content)
        assert self.flower.send(reply, parcel.tree, seconds) == (set(), "")

    def lines(self, kind: str) -> list[dict[str, object]]:
        """Of the audit log."""
        return [entry for entry in self.audit.entries() if entry["kind"] == kind]


def site_of(
    folder: Path,
    fab: Fab,
    changes: Mapping[str, object] | None = None,
    *,
    served: list[Fab] | None = None,
    policy: Policy | None = None,
) -> Site:
    server = Server({1: run_of(1, fab, **(changes or {}))}, {1: served or [fab]})
    allowed = BundlePolicy(hashes=(hashlib.sha256(fab.content).hexdigest(),))
    return Site(folder, server, policy or Policy(bundle=allowed))


def train_message(server: Server, **more: object) -> Message:
    config = ConfigRecord({protocol.ROUND: 1} | more)  # type: ignore[arg-type]
    return server.ask(protocol.TRAIN, RecordDict({protocol.ARRAYS: weights(), protocol.CONFIG: config}))


def update(value: float = 1.0) -> RecordDict:
    metrics = MetricRecord({protocol.EXAMPLES: 40, protocol.LOSS: 0.5, protocol.SECONDS: 2.0})
    return RecordDict({protocol.ARRAYS: weights(value), protocol.METRICS: metrics, protocol.HELD: held()})


def held() -> ConfigRecord:
    """How much the site holds, which the gate keeps."""
    return ConfigRecord({protocol.RECORDINGS: 40, protocol.SPEAKERS: 4})


def assert_refused(site: Site, why: str, code: int = ErrorCode.CLIENT_APP_RAISED_EXCEPTION) -> None:
    """Nothing was handed on, the server got an error that tells nothing, the log says why."""
    assert site.take() is None
    reply = site.server.reply()
    assert reply.has_error()
    assert reply.error.code == code
    assert reply.error.reason in (module.REFUSED, module.FAILED)
    assert why in str(site.lines("refused")[-1]["why"])
    assert site.server.confirmed


def test_an_allowed_bundle_passes_and_its_update_leaves_as_new_records(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    reply = site.server.reply()
    assert np.array_equal(reply.content.array_records[protocol.ARRAYS]["layer"].numpy(), np.ones((2, 3), np.float32))
    told = reply.content.config_records[protocol.CONFIG]
    assert told[protocol.AUDIT_ENTRIES] == 2  # run, in
    assert [entry["kind"] for entry in site.audit.entries()] == ["run", "in", "out"]
    [out], [came], [run] = site.lines("out"), site.lines("in"), site.lines("run")
    assert out["model"] != came["model"] is not None
    assert out["records"] == {
        "arrays": ["layer"],
        "config": [protocol.AUDIT_ENTRIES, protocol.AUDIT_HASH],
        "metrics": [protocol.LOSS, protocol.EXAMPLES, protocol.SECONDS],
    }
    assert out["bytes"] == sum(map(len, site.server.pushed.values()))
    assert run["bundle"] == fab.hash_str
    assert run["verdict"] == "allowed"
    assert site.server.seconds == [3.0]


def test_a_packed_message_is_answered_by_a_packed_one(tmp_path: Path, fab: Fab) -> None:
    """The log says of both what it says of arrays that come one by one."""
    plain, packed = (site_of(tmp_path / name, fab) for name in ("plain", "packed"))
    for site in (plain, packed):
        whole = RecordDict({protocol.ARRAYS: weights(), protocol.CONFIG: ConfigRecord({protocol.ROUND: 1})})
        site.server.ask(protocol.TRAIN, pack(whole) if site is packed else whole)
        message = site.take()
        assert message is not None
        site.answer(Message(pack(update()) if site is packed else update(), reply_to=message))
    reply = packed.server.reply().content
    assert is_packed(reply)
    assert np.array_equal(unpack(reply).array_records[protocol.ARRAYS]["layer"].numpy(), np.ones((2, 3), np.float32))
    for kind in ("in", "out"):
        [one], [other] = plain.lines(kind), packed.lines(kind)
        assert one["model"] == other["model"]
    assert plain.lines("out")[0]["records"] == packed.lines("out")[0]["records"]


def test_a_changed_bundle_is_never_unpacked_nor_handed_on(tmp_path: Path, fab: Fab) -> None:
    evil = bundle(tmp_path / "evil", PASSWD.format(mark=str(tmp_path / "mark")))
    site = site_of(tmp_path, fab, served=[Fab(fab.hash_str, evil, {})])  # the server says that it is the allowed one
    train_message(site.server)
    assert_refused(site, hashlib.sha256(evil).hexdigest(), ErrorCode.INVALID_FAB)
    assert not (tmp_path / "mark").exists()
    with pytest.raises(FedserError):
        site.flower.get_fab(fab.hash_str, 1)
    train_message(site.server)  # the node stays up, and asks for the bundle no more
    assert_refused(site, "the bundle is", ErrorCode.INVALID_FAB)
    assert site.server.asked_for_fab == 1


def test_a_bundle_that_turns_into_another_is_served_as_it_was_checked(tmp_path: Path, fab: Fab) -> None:
    evil = Fab(fab.hash_str, bundle(tmp_path / "evil", PASSWD.format(mark=str(tmp_path / "mark"))), {})
    site = site_of(tmp_path, fab, served=[fab, evil])
    train_message(site.server)
    assert site.take() is not None
    assert site.flower.get_fab("whatever", 1).content == fab.content
    assert site.server.asked_for_fab == 1


def test_the_sites_own_hash_stands_for_the_bundle(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, Fab("0" * 64, fab.content, {"valid_license": "yes"}))
    train_message(site.server)
    assert site.take() is not None
    run, served = site.flower.get_run(1), site.flower.get_fab("0" * 64, 1)
    assert run.fab_hash == served.hash_str == fab.hash_str
    assert served.verifications == {}
    assert run.series_id == run.run_id  # no state is shared with another run


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
        records = {protocol.ARRAYS: weights(model), protocol.SCALING: weights(deviation)}
        site.server.ask(protocol.EVALUATE_TEST, RecordDict({**records, protocol.CONFIG: ConfigRecord()}))

    for _ in range(2):  # the same again is a retry
        ask(1.0, 1.0)
        assert site.take() is not None
    for other in ((2.0, 1.0), (1.0, 2.0)):
        ask(*other)
        assert_refused(site, "the held-out speakers have scored a model in this run")


def test_a_message_for_another_site_or_an_answer_is_refused(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    content = RecordDict({protocol.CONFIG: ConfigRecord()})
    asked = site.server.ask(protocol.HELLO)
    site.server.inbox.clear()
    for message in (Message(content, NODE + 1, protocol.HELLO), Message(content, reply_to=asked)):
        parcel = wire.packed(message)
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


@pytest.mark.parametrize(
    "reply",
    [
        RecordDict({protocol.ARRAYS: ArrayRecord({"other": Array(np.zeros((2, 3), np.float32))})}),
        RecordDict({protocol.ARRAYS: ArrayRecord({"layer": Array(np.zeros((900, 900), np.float32))})}),
        update(float("nan")),
        RecordDict({**update(), "notes": ConfigRecord({"path": "/data/patient_0042.wav"})}),
    ],
    ids=["names", "shape", "nan", "record"],
)
def test_a_reply_that_may_not_leave_is_replaced_by_an_error(tmp_path: Path, fab: Fab, reply: RecordDict) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(reply, reply_to=message))
    assert site.server.reply().error.reason == module.REFUSED
    assert b"patient" not in site.server.everything()
    assert len(site.lines("refused")) == 1
    assert site.lines("out") == []


def test_more_bytes_than_the_policy_allows_do_not_leave(tmp_path: Path, fab: Fab) -> None:
    policy = Policy(bundle=BundlePolicy(hashes=(fab.hash_str,)), outbound=OutboundPolicy(max_bytes_round=300))
    site = site_of(tmp_path, fab, policy=policy)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    assert site.server.reply().error.reason == module.REFUSED
    assert "max_bytes_round" in str(site.lines("refused")[-1]["why"])


def test_an_errors_text_does_not_leave(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(Error(2, "FileNotFoundError: /data/patient_0042.wav"), reply_to=message))
    assert site.server.reply().error.reason == module.FAILED
    assert b"patient" not in site.server.everything()
    assert "patient" not in site.audit.path.read_text()


def test_the_server_is_not_told_how_long_a_private_round_took(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab, {"override_config": {"privacy.epsilon": "8.0"}})
    train_message(site.server, **{protocol.RUN: "run"})
    message = site.take()
    assert message is not None
    told = ConfigRecord({protocol.LEDGER_ENTRIES: 3, protocol.LEDGER_HASH: "a" * 64})
    metrics = MetricRecord({protocol.EXAMPLES: 40})
    arrays = {protocol.ARRAYS: weights(1.0)}
    content = RecordDict({**arrays, protocol.METRICS: metrics, protocol.CONFIG: told, protocol.HELD: held()})
    site.answer(Message(content, reply_to=message))
    assert not site.server.reply().has_error()
    assert site.server.seconds == [0.0]
    [out] = site.lines("out")
    assert out["epsilon_before"] == out["epsilon_after"] == 0.0  # this app spent nothing


def test_a_reply_to_a_message_that_is_not_in_hand_is_dropped(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    site.answer(Message(update(2.0), reply_to=message))
    assert len(site.server.heads) == 1


def test_a_log_that_was_rolled_back_stops_the_site(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    for _ in range(2):
        train_message(site.server)
        message = site.take()
        assert message is not None
        site.answer(Message(update(), reply_to=message))
    told = dict(site.server.reply().content.config_records[protocol.CONFIG])
    lines = site.audit.path.read_text().splitlines(keepends=True)
    train_message(site.server, **told)
    message = site.take()  # the log as it is holds what the server was told
    assert message is not None
    site.audit.path.write_text("".join(lines[:2]))
    train_message(site.server, **told)
    assert_refused(site, "cut or rolled back")


def test_where_the_log_cannot_be_written_nothing_comes_in_or_leaves(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None

    def full(*_: object, **__: object) -> None:
        raise FedserError("audit.jsonl cannot be written: No space left on device")

    monkeypatch.setattr(site.audit, "add", full)
    with caplog.at_level(logging.WARNING):
        site.answer(Message(update(), reply_to=message))
        train_message(site.server)
        assert site.take() is None
    assert [site.server.reply(i).error.reason for i in range(2)] == [module.FAILED] * 2
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("name", ["receive", "get_run", "get_fab", "pull_object"])
@pytest.mark.parametrize("fault", [OSError("gone"), RunNotRunningException(), ValueError("nonsense")])
def test_what_a_server_does_wrong_is_not_raised_into_flowers_loop(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch, name: str, fault: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(Server, name, fail)
    site = site_of(tmp_path, fab)
    train_message(site.server)
    assert site.take() is None


@pytest.mark.parametrize("fault", [OSError("gone"), RunNotRunningException()])
def test_a_reply_that_cannot_be_sent_is_not_raised_either(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(Server, "push_object", fail)
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    assert len(site.lines("out")) == 1


def test_a_reply_is_announced_again_where_the_server_has_forgotten_it(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch
) -> None:
    push, faults = Server.push_object, [ObjectPushError("a", 1, "session")]

    def forgetful(server: Server, *args: Any) -> None:
        if faults:
            raise faults.pop()
        push(server, *args)

    monkeypatch.setattr(Server, "push_object", forgetful)
    site = site_of(tmp_path, fab)
    train_message(site.server)
    message = site.take()
    assert message is not None
    site.answer(Message(update(), reply_to=message))
    assert len(site.server.heads) == 2
    assert not site.server.reply().has_error()


def test_the_round_is_that_of_the_messages_settings(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    train_message(site.server, **{protocol.ROUND: 17})
    assert site.take() is not None
    assert site.lines("in")[0]["round"] == "17"


def test_a_lines_texts_of_the_servers_stay_short(tmp_path: Path, fab: Fab) -> None:
    site = site_of(tmp_path, fab)
    site.server.ask("query." + 5000 * "x", group="1\n2")
    assert_refused(site, "is of type")
    [line] = site.lines("refused")
    assert line["round"] == "1 2"
    assert len(json.dumps(line)) < 1000
