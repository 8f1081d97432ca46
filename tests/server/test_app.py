"""Whole deployed runs in which a site keeps silent, or answers what is no answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from flwr.app import Array, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from common import protocol
from common.config.settings import Config
from common.errors import FederationError, UsageError
from common.privacy.recipe import private_settings
from common.storage.chained_file import Chain
from server.app import app as server_app
from simulations.engine.worker_grid import InProcessGrid
from tests.client import deployment
from tests.simulations import tiny

Answer = Callable[[Message], Message]
gated = deployment.client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    manifest = tiny.write(tmp_path / "corpus", speakers=24, test=(0, 5))  # of the sites s0 and s1
    deployment.deal(manifest, tmp_path)
    return tmp_path


def refuse(message: Message) -> Message:
    return Message(Error(2, "refused by the site's policy"), reply_to=message)


def nothing(message: Message) -> Message:
    return Message(RecordDict(), reply_to=message)


def spoilt(monkeypatch: pytest.MonkeyPatch, answers: Mapping[tuple[str, str], Answer]) -> None:
    """Have the sites answer so to some types of messages, and to all others as they should."""
    app = gated()

    def load() -> Any:
        def answer(message: Message, context: Context) -> Message:
            key = str(context.node_config[protocol.NODE_SITE]), message.metadata.message_type
            return answers[key](message) if key in answers else app(message, context)

        return answer

    monkeypatch.setattr(deployment, "client", load)


def settings(**more: Any) -> Config:
    own = {name.replace("__", "."): value for name, value in more.items()}
    return Config().with_values(
        {**tiny.SMALL, "data.held_out": "", "data.classes": list(tiny.CLASSES), "federation.rounds": 1, **own}
    )


def refusals(folder: Path) -> list[tuple[str, dict[str, str]]]:
    lines = Chain(folder / "home/runs/one/audit.jsonl").read()
    return [(line["type"], line["sites"]) for line in lines if line["kind"] == "refused"]


def test_a_run_ends_well_where_a_site_does_not_score_the_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt(monkeypatch, {("s0", protocol.EVALUATE_TEST): refuse})
    fold = deployment.run_deployed(folder, settings(), monkeypatch)
    assert fold["test_sites"] == {"s0": None, "s1": 8}
    assert len(fold["by_speaker"]) == 1
    assert refusals(folder) == [(protocol.EVALUATE_TEST, {"s0": "refused by the site's policy"})]


@pytest.mark.parametrize("unit", ["utterance", "speaker", "site"])
def test_a_private_run_asks_no_site_for_a_score(folder: Path, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    """Held-out patients lie at two sites, and the coordinator has nobody: the run ends well, without a score."""
    small = {name: value for name, value in tiny.SMALL.items() if name not in ("training.batch_size", "data.held_out")}
    own = {"privacy.epsilon": 8.0, "privacy.unit": unit, "federation.rounds": 1, "data.classes": list(tiny.CLASSES)}
    asked: list[str] = []
    app: Callable[[Message, Context], Message] = gated()

    def load() -> Any:
        def answer(message: Message, context: Context) -> Message:
            asked.append(message.metadata.message_type)
            return app(message, context)

        return answer

    monkeypatch.setattr(deployment, "client", load)
    fold = deployment.run_deployed(folder, Config().with_values(private_settings({**small, **own})), monkeypatch)
    assert not {protocol.EVALUATE, protocol.EVALUATE_TEST, protocol.EVALUATE_CONFIDENCE} & set(asked)
    assert (fold["test"], fold["by_speaker"], fold["test_speakers"]) == (None, None, [])
    assert "test_sites" not in fold
    assert fold["privacy"]["unit"] == unit


def test_a_run_that_nobody_scored_keeps_its_model_and_can_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = {(site, protocol.EVALUATE_TEST): refuse for site in ("s0", "s1")}
    spoilt(monkeypatch, silent)
    with pytest.raises(FederationError, match="no held-out speaker was scored: they lie at s0, s1"):
        deployment.run_deployed(folder, settings(), monkeypatch)
    out = folder / "home/runs/one"
    assert (out / "model.safetensors").exists()
    assert (out / "checkpoint.safetensors").exists()
    assert refusals(folder)[-1][0] == protocol.EVALUATE_TEST
    spoilt(monkeypatch, {})
    assert deployment.run_deployed(folder, settings(), monkeypatch)["test_sites"] == {"s0": 8, "s1": 8}


def test_answers_that_are_none_to_any_message_leave_the_run_to_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    types = (protocol.STATISTICS, protocol.TRAIN, protocol.EVALUATE)
    spoilt(monkeypatch, {("s2", kind): nothing for kind in types} | {("s3", protocol.HELLO): nothing})
    fold = deployment.run_deployed(folder, settings(), monkeypatch, quorum=3)
    assert set(fold["train_speakers"]) == {"s0", "s1", "s2"}
    assert all(set(entry["sites"]) == {"s0", "s1"} for entry in (*fold["rounds"], *fold["refit"]))
    found = dict(refusals(folder)[:4])
    assert {kind: set(sites) for kind, sites in found.items()} == {
        protocol.HELLO: {"s3"},
        **{kind: {"s2"} for kind in types},
    }


def test_a_deployed_round_may_end_before_all_have_answered(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of this grid the sites' answers come one by one: without a grace time two of four are all that are taken."""
    own = settings(federation__quorum=0.5, federation__grace=0.0, federation__refit=False, federation__rounds=2)
    fold = deployment.run_deployed(folder, own, monkeypatch)
    assert set(fold["rounds"][0]["sites"]) == {"s0", "s1"}
    assert "round 1: no answer in time from s2, s3; enough of the others have (federation.quorum)" in caplog.text
    assert "round 2: still at an earlier round, and not asked: " in caplog.text
    assert fold["test_sites"] == {"s0": 8, "s1": 8}  # the score waits for all


def test_a_private_run_ends_well_where_a_site_gives_no_account(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {name: value for name, value in tiny.SMALL.items() if name not in ("training.batch_size", "data.held_out")}
    asked = private_settings({**small, "privacy.epsilon": 8.0, "data.classes": list(tiny.CLASSES)})
    spoilt(monkeypatch, {("s0", protocol.PRIVACY): refuse, ("s1", protocol.PRIVACY): nothing})
    fold = deployment.run_deployed(folder, Config().with_values(asked), monkeypatch)
    told = fold["privacy"]["sites"]
    assert [told[site]["epsilon"] for site in ("s0", "s1")] == [None, None]
    assert 7.5 < told["s2"]["epsilon"] <= 8.0
    log = Chain(folder / "home/runs/one/audit.jsonl").read()
    rounds = [line for line in log if line["kind"] == "round"]
    before, after = (rounds[-1]["sites"]["s2"][f"epsilon_{when}"] for when in ("before", "after"))
    assert before == rounds[-2]["sites"]["s2"]["epsilon_after"] < after
    assert fold["rounds"][-1]["sites"]["s2"]["epsilon_total"] == after
    assert set(rounds[0]["sites"]["s2"]["records"]["config"]) >= {"ledger-entries", "ledger-hash"}


MANY = 10**7


def lying(monkeypatch: pytest.MonkeyPatch, site: str, lies: Mapping[str, Callable[[RecordDict], None]]) -> None:
    """Have a site change what it would answer to some types of messages."""
    app = gated()

    def load() -> Any:
        def answer(message: Message, context: Context) -> Message:
            reply: Message = app(message, context)
            if context.node_config[protocol.NODE_SITE] == site and message.metadata.message_type in lies:
                lies[message.metadata.message_type](reply.content)
            return reply

        return answer

    monkeypatch.setattr(deployment, "client", load)


def _says_many(content: RecordDict) -> None:
    content.config_records[protocol.CONFIG].update(
        {protocol.EXAMPLES: MANY, protocol.VALIDATION_EXAMPLES: MANY, protocol.TEST_EXAMPLES: MANY}
    )


def _ten_times_as_far(content: RecordDict) -> None:
    arrays = content.array_records[protocol.ARRAYS]
    for name, array in arrays.items():
        arrays[name] = Array((array.numpy() + 100.0).astype(array.numpy().dtype))


def _all_right(content: RecordDict) -> None:
    table = [MANY // 4 if row == column else 0 for row in range(4) for column in range(4)]
    content.metric_records[protocol.METRICS].update({protocol.CONFUSION: table, protocol.EXAMPLES: MANY})


ATTACK = {protocol.HELLO: _says_many, protocol.TRAIN: _ten_times_as_far, protocol.EVALUATE: _all_right}


def test_a_site_that_says_ten_million_recordings_is_not_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its steps would be a million times as many, so that no norm was too long, and its weight nearly all."""
    lying(monkeypatch, "s3", ATTACK)
    with caplog.at_level(logging.WARNING, "fedser.server"):
        fold = deployment.run_deployed(folder, settings(federation__refit=False), monkeypatch)
    assert "s3: update refused: its update has the norm" in caplog.text
    assert set(fold["rounds"][0]["sites"]) == {"s0", "s1", "s2"}
    assert fold["rounds"][0]["validation"]["uar"] < 0.8  # half of it is s3's, all right; before it was 0.99999
    assert "nothing is agreed of how much s0, s1, s2, s3 hold: each is at most 2/4 of the mean" in caplog.text
    assert f"s3 says that it has {MANY} to train on: it counts as " in caplog.text
    model = safetensors.numpy.load_file(folder / "home/runs/one/model.safetensors")
    assert max(abs(values).max() for name, values in model.items() if "classifier" in name) < 5


def test_where_it_is_agreed_how_much_a_site_holds_one_that_says_more_is_not_in_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lying(monkeypatch, "s3", ATTACK)
    agreed = dict.fromkeys(deployment.SITES, (48, 6))
    with caplog.at_level(logging.WARNING, "fedser.server"):
        fold = deployment.run_deployed(folder, settings(federation__refit=False), monkeypatch, agreed=agreed)
    assert set(fold["train_speakers"]) == {"s0", "s1", "s2"}
    assert "nothing is agreed" not in caplog.text
    why = f"it says that it holds {3 * MANY} recordings of 6 speakers, agreed are 48 of 6, and a fifth more"
    assert f"s3 does not take part: {why}" in caplog.text
    assert refusals(folder)[0][1]["s3"].startswith(why)


def test_what_the_model_reaches_at_each_site_stands_in_the_result(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = deployment.run_deployed(folder, settings(federation__refit=False), monkeypatch)
    assert set(fold["test_scores"]) == {"s0", "s1"}
    tables = [np.array(own["confusion"]) for own in fold["test_scores"].values()]
    assert np.array_equal(np.sum(tables, axis=0), fold["test"]["confusion"])
    assert [int(table.sum()) for table in tables] == [8, 8]


@pytest.mark.parametrize(("speakers", "scored"), [(6, 8), (5, None)])
def test_more_held_out_speakers_than_were_agreed_are_not_scored(
    folder: Path, monkeypatch: pytest.MonkeyPatch, speakers: int, scored: int | None
) -> None:
    def several(content: RecordDict) -> None:
        table = np.zeros((2, 4, 4), int)
        table[:, 0, 0] = 4
        told: Any = {protocol.SPEAKERS: 2}
        told |= {key: table.ravel().tolist() for key in content.metric_records[protocol.METRICS] if "confusion" in key}
        content.metric_records[protocol.METRICS].update(told)

    lying(monkeypatch, "s1", {protocol.EVALUATE_TEST: several})  # it trains and validates on five, and holds out one
    fold = deployment.run_deployed(
        folder, settings(federation__refit=False), monkeypatch, agreed={"s1": (48, speakers)}
    )
    assert fold["test_sites"] == {"s0": 8, "s1": scored}


def test_a_run_that_nobody_planned_says_in_one_line_what_starts_one() -> None:
    """As ``flwr run`` of the published app does, with the defaults of its project file."""
    with pytest.raises(UsageError, match=r"use fedser simulate --engine flower, or .* fedser federation run") as error:
        server_app(InProcessGrid(ClientApp, [], {}, workers=0), Context(1, 0, {}, RecordDict(), {protocol.PLAN: ""}))
    assert "\n" not in str(error.value)
