"""Whole deployed runs in which a site keeps silent, or answers what is no answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Context, Error, Message, RecordDict
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
    assert protocol.EVALUATE_TEST not in asked
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


def test_a_run_that_nobody_planned_says_in_one_line_what_starts_one() -> None:
    """As ``flwr run`` of the published app does, with the defaults of its project file."""
    with pytest.raises(UsageError, match=r"use fedser simulate --engine flower, or .* fedser federation run") as error:
        server_app(InProcessGrid(ClientApp, [], {}, workers=0), Context(1, 0, {}, RecordDict(), {protocol.PLAN: ""}))
    assert "\n" not in str(error.value)
