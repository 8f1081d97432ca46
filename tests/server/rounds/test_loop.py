"""Rounds in which sites are away or send what was scaled up; see also tests/simulations for whole runs."""

from __future__ import annotations

import dataclasses
import logging
import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from common.config.settings import Config
from common.errors import FederationError
from common.storage.chained_file import Chain
from server.messages.quorum import Quorum
from server.records.audit_log import ServerAudit
from server.rounds.central_dp import SiteUnit
from server.rounds.loop import Rounds
from server.run.checkpoint import State
from server.sites.handshake import Node
from simulations.engine.worker_grid import InProcessGrid

SITES = ("charite", "lausanne", "st-mary")


def _claim(value: Any) -> Callable[[RecordDict], None]:
    return lambda content: content.metric_records["metrics"].update({"num-examples": value})


def _garbage(content: RecordDict) -> None:
    content.array_records["arrays"]["w"] = Array(dtype="float32", shape=(4,), stype="numpy.ndarray", data=b"garbage")


HOSTILE: dict[str, Callable[[RecordDict], None]] = {
    "nothing": lambda content: None,
    "a million": _claim(10**6),
    "1e9": _claim(10**9),
    "1e300": _claim(1e300),
    "negative": _claim(-5),
    "nan": _claim(float("nan")),
    "list": _claim([1, 2]),
    "garbage": _garbage,
    "half a head": lambda content: content.update({"config": ConfigRecord({"audit-hash": "a" * 64})}),
    "a list for a loss": lambda content: content.metric_records["metrics"].update({"loss": [1.0, 2.0]}),
    "a metric more": lambda content: content.metric_records["metrics"].update({"more": 1.0}),
    "a record more": lambda content: content.update({"more": MetricRecord({"x": 1.0}), "extra": ArrayRecord([])}),
}
REFUSED = {
    "1e9": f"its metrics: num-examples is {10**9}, expected a whole number from 1 to 10000000",
    "1e300": r"its metrics: num-examples is 1e\+300, expected a whole number .*",
    "negative": "its metrics: num-examples is -5, expected a whole number .*",
    "nan": "its metrics: num-examples is nan, expected a whole number .*",
    "list": r"its metrics: num-examples is \[1, 2\], expected a whole number .*",
    "garbage": "its arrays: w cannot be read: an array of 7 bytes is not in NumPy's format",
    "half a head": "its config: audit-entries is missing",
    "a list for a loss": r"its metrics: loss is \[1.0, 2.0\], expected a number .*",
    "a metric more": "its metrics: 'more' is not expected",
    "a record more": "its record 'extra' is not expected",
}


def app() -> ClientApp:
    """Adds to the model what its node config says, from the round on that it says."""
    own = ClientApp()

    @own.train()
    def train(message: Message, context: Context) -> Message:
        about: Any = message.content.config_records["config"]
        late = about["server-round"] >= context.node_config.get("from", 1)
        seconds: Any = context.node_config.get("seconds", {})
        time.sleep(seconds.get(about["server-round"], seconds.get("usual", 0.0)))
        step = float(str(context.node_config["step"])) if late else 1.0
        given = message.content.array_records["arrays"]
        arrays = ArrayRecord({name: Array(array.numpy() + np.float32(step)) for name, array in given.items()})
        told = {} if context.node_config.get("private") else {"loss": 0.5, "seconds": 1.0}
        content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1, **told})})
        if context.node_config.get("beside"):
            change = float(str(context.node_config.get("control", step)))
            changes = {name: np.full_like(array.numpy(), change) for name, array in given.items()}
            content["control"] = ArrayRecord({name: Array(values) for name, values in changes.items()})
        if context.node_config.get("ledger"):
            content["config"] = ConfigRecord({"ledger-entries": 1, "ledger-hash": "a" * 64})
        HOSTILE[str(context.node_config.get("does", "nothing"))](content)
        return Message(content, reply_to=message)

    return own


class Away(InProcessGrid):
    """A grid from which some nodes are away for the first so many questions who is there."""

    away: tuple[int, ...] = ()
    asked = 0
    until = 10**9

    def get_node_ids(self) -> Iterable[int]:
        self.asked += 1
        gone = self.away if self.asked <= self.until else ()
        return [number for number in super().get_node_ids() if number not in gone]


def rounds(
    folder: Path,
    steps: dict[str, Any],
    grid_of: type[InProcessGrid] = InProcessGrid,
    private: bool = False,
    audit: ServerAudit | None = None,
    held: dict[str, Any] | None = None,
    quorum: Quorum | None = None,
    workers: int = 0,
    **more: Any,
) -> State:
    """``held`` is what is otherwise known of ``lausanne``, e.g. how many recordings it says that it has."""
    config = Config().with_values({"federation.rounds": 3, **{k.replace("__", "."): v for k, v in more.items()}})
    nodes = [
        Node(id=i + 1, site=site, features=1, examples=1, validation=0, test=0, speakers=1, validation_speakers=0)
        for i, site in enumerate(SITES)
    ]
    nodes[1] = dataclasses.replace(nodes[1], **(held or {}))
    start = State(arrays={"w": np.full(4, 2, np.float32)}, scaling={"mean": np.zeros(1), "deviation": np.ones(1)})
    configs = [{"step": 1.0, "private": private, **steps.get(site, {})} for site in SITES]
    with grid_of(app, configs, {}, workers=workers) as grid:
        own = SiteUnit(config, "run", len(SITES), folder) if private else None
        return Rounds(
            grid=grid,
            config=config,
            nodes=nodes,
            folder=folder,
            on_round=lambda _: None,
            private=own,
            audit=audit,
            quorum=quorum or Quorum(),
        ).run(start)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(("first", "step"), [(1, 1000.0), (2, 11.0), (3, -30.0)])
def test_a_scaled_update_is_refused_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, first: int, step: float
) -> None:
    state = rounds(tmp_path, {"lausanne": {"step": step, "from": first}})
    np.testing.assert_allclose(state.arrays["w"], 5.0)
    assert [set(SITES) - set(entry["sites"]) for entry in state.history] == [
        {"lausanne"} if number >= first else set() for number in (1, 2, 3)
    ]
    assert sum("lausanne: update refused: its update has the norm" in line for line in warnings(caplog)) == 4 - first


def test_the_screening_can_be_left_out(tmp_path: Path) -> None:
    state = rounds(tmp_path, {"lausanne": {"step": 1000.0}}, federation__screen_norm=0.0)
    assert state.arrays["w"][0] > 1000


def test_where_sites_are_hidden_none_is_refused_for_what_the_others_sent(tmp_path: Path) -> None:
    own: dict[str, Any] = {"privacy__unit": "site", "privacy__noise_multiplier": 1e-9, "privacy__max_grad_norm": 0.5}
    state = rounds(tmp_path, {"lausanne": {"step": 1000.0}}, private=True, **own)
    assert [set(entry["sites"]) for entry in state.history] == [set(SITES)] * 3
    np.testing.assert_allclose(state.arrays["w"], 2 + 3 * 0.25, rtol=1e-5)  # each site moves it by a norm of 0.5


def test_a_round_goes_on_without_a_site_that_is_not_connected(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Away, "away", (3,))
    monkeypatch.setattr(Away, "until", 1)
    state = rounds(tmp_path, {}, Away)
    assert warnings(caplog) == ["round 1: not connected: st-mary; the others go on"]
    assert set(state.history[0]["sites"]) == {"charite", "lausanne"}
    assert set(state.history[1]["sites"]) == set(SITES)  # it came back


def test_a_round_waits_for_the_quorum_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Away, "away", (2, 3))
    monkeypatch.setattr(Away, "until", 2)
    assert len(rounds(tmp_path, {}, Away, federation__min_sites=2).history) == 3
    monkeypatch.setattr(Away, "until", 10**9)
    with pytest.raises(FederationError, match="round 1: 1 sites are connected, expected at least 2"):
        rounds(tmp_path, {}, Away, federation__min_sites=2, federation__round_timeout=0.6)


class Racing(InProcessGrid):
    """A grid that hands replies out as they come, as a SuperLink does."""

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self._work(0.02)
        came = [number for number in message_ids if number in self._replies]
        self._due = deque(message for message in self._due if message.metadata.message_id not in came)
        return [self._replies.pop(number) for number in came]


def test_a_round_ends_without_a_slow_site_which_is_asked_again_once_it_has_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is slow in round 1 alone, and as long as several rounds of the others."""
    slow = {site: {"seconds": {"usual": 0.1, **({1: 0.8} if site == "st-mary" else {})}} for site in SITES}
    more: dict[str, Any] = {"workers": 3, "federation__rounds": 8}
    state = rounds(tmp_path / "quorum", slow, Racing, quorum=Quorum(0.6, 0.05), **more)
    there = ["st-mary" in entry["sites"] for entry in state.history]
    assert (there[:3], there[-1]) == ([False] * 3, True)
    assert {frozenset(entry["sites"]) for entry in state.history} <= {frozenset(SITES), frozenset(SITES[:2])}
    said = warnings(caplog)
    assert said[0] == "round 1: no answer in time from st-mary; enough of the others have (federation.quorum)"
    assert said[1] == "round 2: still at an earlier round, and not asked: st-mary"
    np.testing.assert_allclose(state.arrays["w"], 2 + 8)  # the late answer of round 1 is in no mean
    more["federation__rounds"] = 2
    whole = rounds(tmp_path / "whole", slow, Racing, **more)
    assert [set(entry["sites"]) for entry in whole.history] == [set(SITES)] * 2


def test_weights_can_be_equal(tmp_path: Path) -> None:
    held = {"examples": 3}
    by_examples = rounds(tmp_path, {"lausanne": {"step": 4.0, "examples": 3}}, held=held)
    equal = rounds(tmp_path, {"lausanne": {"step": 4.0}}, held=held, federation__weights="equal")
    np.testing.assert_allclose(by_examples.arrays["w"], 2 + 3 * 14 / 5, rtol=1e-6)
    np.testing.assert_allclose(equal.arrays["w"], 2 + 3 * 2)


@pytest.mark.parametrize("strategy", ["fedavg", "fedmedian", "krum"])
@pytest.mark.parametrize("does", [name for name in HOSTILE if name not in REFUSED])
def test_no_site_weighs_more_by_what_it_says_nor_ends_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, does: str, strategy: str
) -> None:
    more: dict[str, Any] = {"federation__malicious": 0} if strategy == "krum" else {}
    state = rounds(tmp_path, {"lausanne": {"does": does, "step": 4.0}}, federation__strategy=strategy, **more)
    step = {"fedavg": 2.0, "fedmedian": 1.0, "krum": 1.0}[strategy]  # (1 + 4 + 1) / 3: all three weigh the same
    np.testing.assert_allclose(state.arrays["w"], 2 + 3 * step)
    assert [entry["sites"]["lausanne"]["examples"] for entry in state.history] == [1, 1, 1]
    assert state.history[0]["sites"]["lausanne"]["loss"] == 0.5
    said = [line for line in warnings(caplog) if "by its own word, and said 1 when it was met" in line]
    assert len(said) == (3 if does == "a million" else 0)


@pytest.mark.parametrize("does", REFUSED)
def test_a_reply_that_is_none_is_refused_named_and_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, does: str
) -> None:
    audit = ServerAudit(tmp_path / "audit.jsonl", 7, "f" * 64)
    state = rounds(tmp_path, {"lausanne": {"does": does, "step": 4.0}}, audit=audit)
    np.testing.assert_allclose(state.arrays["w"], 5.0)
    assert [set(entry["sites"]) for entry in state.history] == [{"charite", "st-mary"}] * 3
    assert sum(bool(re.fullmatch(f"lausanne: update refused: {REFUSED[does]}", line)) for line in warnings(caplog)) == 3
    lines = Chain(tmp_path / "audit.jsonl").read()
    assert [line["kind"] for line in lines] == ["refused", "round"] * 3
    assert re.fullmatch(REFUSED[does], lines[0]["sites"]["lausanne"])
    assert (lines[0]["type"], lines[0]["round"], lines[0]["run"], lines[0]["bundle"]) == ("train", 1, "7", "f" * 64)


def test_too_few_sound_replies_end_the_run_as_before(tmp_path: Path) -> None:
    with pytest.raises(
        FederationError, match=r"round 1: 2 of 3 sites sent a sound update, expected at least 3 \(lausan"
    ):
        rounds(tmp_path, {"lausanne": {"does": "garbage"}}, federation__min_sites=3)


MANY = {"examples": 10**7, "limited": True, "registered": True}


@pytest.mark.parametrize("strategy", ["fedavg", "fedavgm", "fedprox", "scaffold", "private"])
def test_a_site_that_says_ten_million_has_two_thirds_of_the_mean_and_no_more(tmp_path: Path, strategy: str) -> None:
    """Its step is four times the others', which the screening lets through; by its word the mean would be all its."""
    more: dict[str, Any] = {"federation__strategy": strategy, "federation__server_momentum": 0.0}
    if strategy == "private":  # at the sites: the server averages noisy updates by their numbers of units
        more = {"privacy__noise_multiplier": 1.0, "data__validation": "none"}
    own = {"step": 4.0, "beside": strategy == "scaffold", "ledger": strategy == "private"}
    configs = {site: {**own, "step": 4.0 if site == "lausanne" else 1.0} for site in SITES}
    if strategy == "private":
        configs = {site: {**config, "private": True} for site, config in configs.items()}
    state = rounds(tmp_path, configs, held=MANY, **more)
    np.testing.assert_allclose(state.arrays["w"], 2 + 3 * (1 + 4 * 4 + 1) / 6, rtol=1e-6)
    honest = rounds(tmp_path, configs, held={"examples": 10**7}, **more)  # of a simulation
    np.testing.assert_allclose(honest.arrays["w"], 2 + 3 * 4.0, rtol=1e-5)
    if strategy == "scaffold":
        controls = {name: values for name, values in state.strategy.items() if name.startswith("memory/")}
        np.testing.assert_allclose(controls["memory/w"], 3 * (1 + 4 * 4 + 1) / 6, rtol=1e-6)


@pytest.mark.parametrize(("far", "taken"), [(9.0, True), (11.0, False), (1e37, False)])
def test_what_goes_beside_the_model_is_not_far_longer_than_the_others(tmp_path: Path, far: float, taken: bool) -> None:
    """The server makes a control of it that it sends to all: with 1e37 in it no site trains any more."""
    configs = {site: {"beside": True, "control": far if site == "lausanne" else 1.0} for site in SITES}
    state = rounds(tmp_path, configs, held={"registered": True}, federation__strategy="scaffold")
    assert [("lausanne" in entry["sites"]) for entry in state.history] == [taken] * 3
    assert np.abs(state.strategy["memory/w"]).max() < 12
    if far < 1e37:  # a simulation's are its own, as they were
        own = rounds(tmp_path, configs, federation__strategy="scaffold")
        assert all("lausanne" in entry["sites"] for entry in own.history)


@pytest.mark.parametrize(("step", "taken"), [(400.0, True), (600.0, False)])
def test_a_count_makes_no_update_longer_than_fifty_times_the_usual_is(tmp_path: Path, step: float, taken: bool) -> None:
    state = rounds(tmp_path, {"lausanne": {"step": step}}, held=MANY, federation__rounds=1)
    assert ("lausanne" in state.history[0]["sites"]) == taken
    agreed = rounds(tmp_path, {"lausanne": {"step": step}}, held={"examples": 10**7, "registered": True})
    assert "lausanne" in agreed.history[0]["sites"]


def test_a_line_of_the_audit_says_what_each_site_sent(tmp_path: Path) -> None:
    audit = ServerAudit(tmp_path / "audit.jsonl", 7, "")
    state = rounds(tmp_path, {}, audit=audit)
    first, second, _ = Chain(tmp_path / "audit.jsonl").read()
    site = first["sites"]["lausanne"]
    assert site["records"] == {"arrays": ["w"], "metrics": ["loss", "num-examples", "seconds"]}
    assert site["examples"] == 1
    assert site["bytes"] == state.history[0]["sites"]["lausanne"]["bytes"] > 0
    assert first["model_out"] == second["model_in"] != first["model_in"]
    assert (first["run"], first["bundle"], first["round"]) == ("7", None, 1)
    assert "epsilon_after" not in site


class Overheard(InProcessGrid):
    """A grid that keeps what each message to train says of the server's own log."""

    heads: ClassVar[list[tuple[Any, ...]]] = []

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        sent = list(messages)
        for message in sent:
            config = message.content.config_records["config"]
            self.heads.append(tuple(config.get(f"server-{key}") for key in ("log", "entries", "hash")))
        return super().push_messages(sent)


def test_each_round_tells_the_sites_how_far_the_servers_log_is(tmp_path: Path) -> None:
    Overheard.heads.clear()
    audit = ServerAudit(tmp_path / "audit.jsonl", 7, "")
    audit.begin({}, list(SITES))
    rounds(tmp_path, {}, Overheard, audit=audit)
    hashes = [line["hash"] for line in Chain(tmp_path / "audit.jsonl").read()]
    assert sorted(set(Overheard.heads)) == sorted((hashes[0], i + 1, hashes[i]) for i in range(3))
    assert len(Overheard.heads) == 3 * len(SITES)
    Overheard.heads.clear()
    rounds(tmp_path, {}, Overheard)  # a simulation has no such log
    assert set(Overheard.heads) == {(None, None, None)}


def test_where_the_server_adds_the_noise_its_own_epsilon_is_noted(tmp_path: Path) -> None:
    audit = ServerAudit(tmp_path / "audit.jsonl", 7, "")
    own: dict[str, Any] = {"privacy__unit": "site", "privacy__noise_multiplier": 1.0, "privacy__max_grad_norm": 0.5}
    rounds(tmp_path, {}, private=True, audit=audit, **own)
    lines = Chain(tmp_path / "audit.jsonl").read()
    assert lines[0]["epsilon_before"] == 0.0
    assert 0 < lines[0]["epsilon_after"] == lines[1]["epsilon_before"] < lines[1]["epsilon_after"]
