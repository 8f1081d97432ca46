from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.fab import Fab

from client.node.flower import guard as module
from client.node.policy.clauses import BundlePolicy, OutboundPolicy
from client.node.policy.document import Policy
from common import protocol
from common.config.settings import Config
from common.errors import FedserError
from common.flower.packing import is_packed, pack, unpack
from common.strategies.available import CATALOGUE
from tests.client.node.bundles import bundle, weights
from tests.client.node.guarded import LOG, assert_refused, held, site_of, train_message, update

pytestmark = pytest.mark.usefixtures("quick")
PASSWD = "import pathlib\npathlib.Path({mark!r}).write_text(pathlib.Path('/etc/passwd').read_text())\napp = None\n"


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
        whole = RecordDict({protocol.ARRAYS: weights(), protocol.CONFIG: ConfigRecord({protocol.ROUND: 1, **LOG})})
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


def test_what_a_strategy_sends_beside_the_model_passes_in_and_out(
    tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_of(tmp_path, fab)

    def ask(beside: dict[str, ArrayRecord]) -> Message | None:
        settings = ConfigRecord({protocol.ROUND: 1, **LOG, protocol.SERVER_ENTRIES: 10**6 + len(site.audit.entries())})
        records: Any = {protocol.ARRAYS: weights(), **beside, protocol.CONFIG: settings}
        site.server.ask(protocol.TRAIN, pack(RecordDict(records)))
        return site.take()

    assert ask({"control": weights()}) is None
    assert "record 'control' is not expected" in str(site.lines("refused")[-1]["why"])
    monkeypatch.setitem(CATALOGUE, "fedavg", CATALOGUE["scaffold"])
    assert ask({}) is None
    assert "record control is missing" in str(site.lines("refused")[-1]["why"])
    message = ask({"control": weights(3.0)})
    assert message is not None
    site.answer(Message(pack(RecordDict({**update(), "control": weights(4.0)})), reply_to=message))
    records = unpack(site.server.reply().content).array_records
    assert records["control"]["layer"].numpy().tolist() == [[4.0] * 3] * 2
    [out] = site.lines("out")
    assert str(out["records"]).count("layer") == 2


def test_the_settings_of_a_run_are_read_once(tmp_path: Path, fab: Fab, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    with_values = Config.with_values

    def counted(config: Config, values: Any) -> Config:
        read.append(values)
        return with_values(config, values)

    monkeypatch.setattr(Config, "with_values", counted)
    site = site_of(tmp_path, fab)
    for _ in range(2):
        train_message(site.server)
        message = site.take()
        assert message is not None
        site.answer(Message(update(), reply_to=message))
    assert len(site.lines("out")) == 2
    assert len(read) == 1


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


@pytest.mark.parametrize("private", [True, False])
def test_a_private_run_whose_messages_are_not_answered_is_asked_no_more(
    tmp_path: Path, fab: Fab, private: bool
) -> None:
    """That an app fails or is killed may tell of the data: a server can't ask by it again and again."""
    changes = {"override_config": {"privacy.epsilon": "8.0"} if private else {}}
    site = site_of(tmp_path, fab, changes)
    for number in range(4):
        train_message(site.server, **{protocol.RUN: "run"})
        message = site.take()
        assert message is not None
        if number % 2:
            site.answer(Message(Error(2, "killed"), reply_to=message))
        else:
            site = site_of(tmp_path, fab, changes)  # the node was killed, and started again
    train_message(site.server, **{protocol.RUN: "run"})
    if private:
        assert_refused(site, "4 messages of this private run were not answered here; the site is out of the run")
    else:
        assert site.take() is not None
