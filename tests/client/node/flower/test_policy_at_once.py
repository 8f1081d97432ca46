"""A clause that a site changes holds from the next message on, and for each reply that has not left yet."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import typing
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.user_config import UserConfig
from flwr.supercore.fab import Fab
from flwr.supercore.object_store import ObjectStoreFactory

from client.node.flower.guard import REFUSED
from client.node.flower.node_state import NodeState
from client.node.policy.document import Policy
from common import protocol
from common.config.settings import Config, flatten
from common.errors import UsageError
from common.privacy.ledger.account import Ledger
from common.privacy.recipe import private_settings
from tests.client.node.bundles import bundle, run_of, scaling, weights
from tests.client.node.guarded import Site, site_of, train_message, update
from tests.client.node.summing import TIGHTENED

pytestmark = pytest.mark.usefixtures("quick")
PRIVATE = {"privacy.epsilon": 8.0, "privacy.unit": "utterance", "privacy.insecure_seed": True}
FIXED = {"privacy.noise_multiplier": 4.0, "privacy.unit": "utterance"}

# Of each clause that can be tightened what it becomes, and of which run: its settings that are not as by default.
Tightened = tuple[Any, dict[str, Any]]
ENCODER = {"encoder.sha256": "cd" * 32, "encoder.layer": "2", "encoder.layers": 4, "encoder.width": 8}
RUNS: dict[str, Tightened] = {
    "bundle.hashes": (("ab" * 32,), {}),
    "run.hours": ("20:00-06:00", {}),
    "run.max_rounds": (5, {}),
    "run.max_runs_day": (1, {}),
    "run.max_memory": (0.1, PRIVATE),
    "run.max_steps_round": (1, {**PRIVATE, "privacy.sample_rate": 0.5}),
    "run.bounds": ({"federation.rounds": (1, 2)}, {}),
    "privacy.unit": ("speaker", PRIVATE),
    "privacy.max_epsilon": (7.0, PRIVATE),
    "privacy.min_noise_multiplier": (4.5, FIXED),
    "privacy.max_delta": (1e-6, PRIVATE),
    "privacy.budget": (16.0, {}),
    "privacy.allow_insecure_seed": (False, PRIVATE),
    "data.classes": (("anger", "fear"), {}),
    "data.style": ("scripted", {}),
    "data.encoders": ((), ENCODER),
    "outbound.allow_statistics": (False, {}),
    "outbound.allow_class_counts": (False, {"training.class_weights": "pooled"}),
    "outbound.allow_validation": (False, {}),
    "outbound.allow_test": (False, {}),
}
REPLIES: dict[str, Any] = {"data.min_recordings": 41, "data.min_speakers": 5, "outbound.max_bytes_round": 10}
# What refuses nothing: it changes what the app is told, and with it what it tells.
TOLD: dict[str, Any] = {
    "data.label_map": "labels.toml",
    "privacy.report_epsilon": False,
    "outbound.allow_test_speakers": False,
}
ASKED = {
    "outbound.allow_statistics": protocol.STATISTICS,
    "outbound.allow_class_counts": protocol.CLASSES_HELD,
    "outbound.allow_validation": protocol.EVALUATE,
    "outbound.allow_test": protocol.EVALUATE_TEST,
}


def changed(policy: Policy, clause: str, value: Any) -> Policy:
    section, name = clause.split(".")
    return dataclasses.replace(policy, **{section: dataclasses.replace(getattr(policy, section), **{name: value})})


def opened(folder: Path, settings: dict[str, Any]) -> Site:
    """A site whose policy allows a run of these settings, and that has taken up another such run before."""
    given = private_settings({"data.classes": ["anger", "neutral"], **settings})
    flat = {name: value for name, value in flatten(Config().with_values(given)).items() if name != "seed"}
    lines = (f"{name} = {json.dumps(value if value != math.inf else 'inf')}" for name, value in flat.items())
    content = bundle(folder / "bundle", settings="\n".join(lines))
    fab = Fab(hashlib.sha256(content).hexdigest(), content, {})
    site = site_of(folder, fab)
    allowed = {"data.classes": ("anger", "neutral"), "data.encoders": (ENCODER["encoder.sha256"],)}
    widened = {"privacy.allow_insecure_seed": True, "outbound.allow_class_counts": True}
    for clause, value in {**widened, **allowed}.items():
        site.policy = changed(site.policy, clause, value)
    site.server.runs, site.server.fabs = {1: site.server.runs[1], 2: run_of(2, fab)}, {1: [fab], 2: [fab]}
    site.server.ask(protocol.HELLO, run=2)
    assert site.take() is not None
    return site


def ask(site: Site, kind: str = protocol.TRAIN) -> Message | None:
    """Ask what passes under the policy that there was, and let the node take it in."""
    if kind == protocol.TRAIN:
        train_message(site.server)
        return site.take()
    config = ConfigRecord({protocol.ROUND: 1} if kind == protocol.EVALUATE else {})
    arrays = {protocol.ARRAYS: weights(), protocol.SCALING: scaling()}
    bare = kind in (protocol.STATISTICS, protocol.CLASSES_HELD)
    site.server.ask(kind, RecordDict({**({} if bare else arrays), protocol.CONFIG: config}))
    return site.take()


def why(site: Site) -> str:
    """Why the last message was refused, by the site's log; of that the server was told the run's line, or nothing."""
    reply, reason = site.server.reply(), str(site.lines("refused")[-1]["why"])
    assert reply.has_error()
    assert reply.error.reason in (REFUSED, f"{REFUSED}: {reason}")
    return reason


def test_every_clause_is_tried() -> None:
    sections = typing.get_type_hints(Policy)
    clauses = {f"{section}.{item.name}" for section, kind in sections.items() for item in dataclasses.fields(kind)}
    assert clauses == {*RUNS, *REPLIES, *TOLD, *TIGHTENED}


@pytest.mark.parametrize("clause", RUNS)
def test_a_clause_that_was_tightened_between_two_messages_refuses_the_second(tmp_path: Path, clause: str) -> None:
    value, settings = RUNS[clause]
    site, kind = opened(tmp_path, settings), ASKED.get(clause, protocol.TRAIN)
    assert ask(site, kind) is not None
    before = site.policy
    site.policy = changed(before, clause, value)
    assert ask(site, kind) is None
    assert f"({clause})" in why(site) or "does not allow (outbound)" in why(site)
    site.policy = before
    assert ask(site, kind) is not None


@pytest.mark.parametrize("clause", [*REPLIES, "bundle.hashes", "privacy.max_epsilon", "privacy.budget"])
def test_a_clause_that_was_tightened_while_the_app_works_refuses_its_reply(tmp_path: Path, clause: str) -> None:
    value, settings = RUNS[clause] if clause in RUNS else (REPLIES[clause], {})
    site = opened(tmp_path, settings)
    message = ask(site)
    assert message is not None
    site.policy = changed(site.policy, clause, value)
    site.answer(Message(update(), reply_to=message))
    assert clause.split(".")[1] in why(site)
    assert site.lines("out") == []


def test_a_run_that_was_refused_is_looked_at_again_once_the_policy_is_another(tmp_path: Path) -> None:
    site = opened(tmp_path, {})
    allowed, site.policy = site.policy, changed(site.policy, "bundle.hashes", ("ab" * 32,))
    for _ in range(3):
        assert ask(site) is None
    assert site.server.asked_for_fab == 2  # with the other run's
    site.policy = allowed
    assert ask(site) is not None


def test_while_the_policy_cannot_be_read_nothing_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = opened(tmp_path, {})
    message = ask(site)
    assert message is not None

    def unreadable() -> Policy:
        raise UsageError("policy.toml: line 3 is no TOML")

    with monkeypatch.context() as while_it_is:
        while_it_is.setattr(site.guard._intake, "_policy", unreadable)
        site.answer(Message(update(), reply_to=message))
        assert ask(site) is None
        assert [line["why"] for line in site.lines("refused")] == ["policy.toml: line 3 is no TOML"]  # twice
    assert ask(site) is not None


def test_a_budget_is_kept_for_the_unit_of_the_ledger_by_the_node_itself(tmp_path: Path) -> None:
    """The app is the server's: what its ledger cannot count is refused before it sees the message."""
    site = opened(tmp_path, PRIVATE)
    assert ask(site) is not None
    ledger = Ledger.of_site(tmp_path / "ledger", "st-mary")
    ledger.begin("before", {"unit": "speaker", "sample_rate": 1.0, "noise_multiplier": 9.0, "delta": 1e-5})
    assert ask(site) is not None  # without a budget the ledger is an account
    site.policy = changed(site.policy, "privacy.budget", 16.0)
    assert ask(site) is None
    assert "the run hides the utterance, the ledger's budget is for each speaker" in why(site)
    site.policy = changed(site.policy, "privacy.unit", "utterance")
    assert ask(site) is not None


def test_each_message_s_app_is_told_what_holds_then() -> None:
    """Flower keeps for a run what its first message was told, and what the app itself made of that."""
    config: UserConfig = {protocol.NODE_BUDGET: 0.0, protocol.NODE_LABEL_MAP: "", protocol.NODE_REPORT_EPSILON: True}
    state = NodeState(ObjectStoreFactory().store(), config)
    state.set_run_series_context(7, Context(1, 99, dict(config), RecordDict(), {}))
    for name, value in {protocol.NODE_BUDGET: 3.0, protocol.NODE_REPORT_EPSILON: False}.items():
        config[name] = value
        told = state.get_run_series_context(7)
        assert told is not None
        assert told.node_config == config
        told.node_config.clear()  # the app's own copy
    assert state.get_run_series_context(8) is None
