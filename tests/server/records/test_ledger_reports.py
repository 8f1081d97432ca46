"""What sites say of their ledgers, as honest ones do and as one does that runs no gate of ours."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from common import protocol
from common.config.settings import Config
from common.errors import FederationError
from common.messages.scope import Scope
from server.records.ledger_reports import hear, says_stopped, site_figures, spent_so_far, why_stopped
from server.rounds.screening import fault
from server.run.checkpoint import State
from server.sites.handshake import Node
from simulations.engine.worker_grid import InProcessGrid
from tests.server.example_result import SPENT
from tests.server.replies import asked, failure

DIGEST = "a" * 64
AT_SITES = Scope(private=True, at_sites=True)
HEAD = {protocol.LEDGER_ENTRIES: 3, protocol.LEDGER_HASH: DIGEST}


def state() -> State:
    return State(arrays={"w": np.zeros(1)}, scaling={}, run="run")


def said(**told: Any) -> Message:
    own: dict[str, Any] = {name.replace("_", "-"): value for name, value in told.items()}
    return Message(RecordDict({protocol.CONFIG: ConfigRecord(own)}), reply_to=asked())


def test_a_head_is_kept_for_the_next_round() -> None:
    own = state()
    audit = {protocol.AUDIT_ENTRIES: 7, protocol.AUDIT_HASH: "b" * 64}
    hear(own, "s", said(**HEAD, **audit))
    assert (own.heads, own.audits) == ({"s": (3, DIGEST)}, {"s": (7, "b" * 64)})


@pytest.mark.parametrize("names", [("ledger", "ledger"), ("audit", "audit"), ("ledger", "audit")])
def test_half_a_head_is_no_head(names: tuple[str, str]) -> None:
    for half in ({f"{names[0]}_entries": 3}, {f"{names[1]}_hash": DIGEST}):
        own = state()
        hear(own, "s", said(**half))
        assert (own.heads, own.audits) == ({}, {})


@pytest.mark.parametrize(("entries", "digest"), [("x", DIGEST), (-1, DIGEST), (2.0, DIGEST), (3, "a"), (3, 5)])
def test_what_is_no_head_of_a_chain_is_named_and_not_kept(entries: Any, digest: Any) -> None:
    own, reply = state(), said(stopped=True, ledger_entries=entries, ledger_hash=digest)
    hear(own, "s", reply)
    assert own.heads == {}
    assert str(fault(reply, AT_SITES)).startswith("its config: ledger-")


def test_only_a_sound_word_that_the_budget_is_spent_stops_a_site() -> None:
    assert says_stopped(said(**HEAD, stopped=True))
    assert fault(said(**HEAD, stopped=True), AT_SITES) is None
    for told in ({"stopped": True}, {**HEAD, "stopped": False}, {**HEAD, "stopped": 1}):
        assert fault(said(**told), AT_SITES) is not None
    assert fault(said(**HEAD, stopped=True), Scope()) is not None  # no private run, no budget


def test_a_site_says_whether_its_budget_stops_it_or_rounds_that_were_cut_short() -> None:
    cut = said(**HEAD, stopped=True, **{"cut-short": True})
    assert says_stopped(cut)
    assert fault(cut, AT_SITES) is None
    assert why_stopped(cut) == "too many of its rounds were cut short, it is out of the run"
    assert why_stopped(said(**HEAD, stopped=True)) == "out of budget"
    for told in ({"cut-short": True}, {"stopped": True, "cut-short": False}, {"stopped": True, "cut-short": 3}):
        assert fault(said(**HEAD, **told), AT_SITES) is not None


def test_a_reply_without_records_says_nothing() -> None:
    own = state()
    for reply in (failure(), Message(RecordDict(), reply_to=asked())):
        hear(own, "s", reply)
        assert not says_stopped(reply)
    assert (own.heads, own.audits) == ({}, {})


def test_the_epsilon_of_all_runs_comes_with_the_budget() -> None:
    told = spent_so_far(said(figures=json.dumps(SPENT)))
    assert told == {"epsilon": 7.98, "epsilon_total": 16.25, "budget": 20.0, "budget_unit": "utterance"}
    assert spent_so_far(said(figures=json.dumps(SPENT | {"epsilon": math.inf, "budget": None}))) == {
        "epsilon_total": 16.25,
        "budget_unit": "utterance",
    }
    assert spent_so_far(said(figures=json.dumps(dict.fromkeys(SPENT)))) == {}
    assert spent_so_far(said()) == {}
    for odd in ('{"epsilon": "x"}', "[" * 10**5):
        assert str(fault(said(**HEAD, stopped=True, figures=odd), AT_SITES)).startswith("its config: figures ")


def nodes() -> list[Node]:
    names = ("a", "b", "c")
    own: dict[str, Any] = {"features": 1, "examples": 1, "validation": 0, "test": 0}
    own |= {"speakers": 1, "validation_speakers": 0}
    return [Node(id=i + 1, site=name, **own) for i, name in enumerate(names)]


def accounts(*answers: str | None, whole: bool = False) -> tuple[dict[str, Any], dict[str, str]]:
    """What comes of the sites' answers, each the text of its figures; None for none."""

    def app() -> ClientApp:
        own = ClientApp()

        @own.query("privacy")
        def privacy(message: Message, context: Context) -> Message:
            text = context.node_config.get("text")
            told: dict[str, Any] = {} if text is None else {protocol.FIGURES: str(text)}
            return Message(RecordDict({protocol.CONFIG: ConfigRecord(told)}), reply_to=message)

        return own

    config = Config().with_values({"privacy.epsilon": 8.0, "privacy.unit": "utterance"})
    refused: dict[str, str] = {}
    with InProcessGrid(app, [{} if text is None else {"text": text} for text in answers], {}, workers=0) as grid:
        own = state()
        own.stopped = ["c"]
        return site_figures(grid, config, nodes(), own, refused, whole=whole), refused


def test_an_account_is_what_the_site_says() -> None:
    found, refused = accounts(*[json.dumps(SPENT)] * 3)
    assert found == {"a": SPENT, "b": SPENT, "c": SPENT}
    assert list(found["a"]) == list(SPENT)  # fold.json keeps the order
    assert refused == {}


def test_an_account_that_does_not_come_is_null_and_the_run_ends_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fedser.server"):
        found, refused = accounts(json.dumps(SPENT), None, "[]")
    assert found["a"] == SPENT
    assert found["b"] == dict.fromkeys(SPENT) | {"delta": Config().privacy.delta, "stopped": False}
    assert found["c"]["stopped"]
    assert refused["b"] == "its config: figures is missing"
    assert refused["c"].startswith("its config: figures is '[]', expected")
    assert "what was spent is not known of b, c" in caplog.text


@pytest.mark.parametrize(
    "odd",
    [{"epsilon": -1.0}, {"epsilon": "8"}, {"epsilon": math.nan}, {"steps": 1.5}, {"stopped": None}, {"delta": True}],
)
def test_what_is_no_figure_of_a_ledger_is_no_account(odd: dict[str, Any]) -> None:
    found, refused = accounts(json.dumps(SPENT), json.dumps(SPENT), json.dumps(SPENT | odd))
    assert found["c"]["epsilon"] is None
    assert set(refused) == {"c"}


def test_in_a_simulation_every_account_must_come() -> None:
    with pytest.raises(FederationError, match="no account of the privacy spent from b; go on with --resume"):
        accounts(json.dumps(SPENT), None, json.dumps(SPENT), whole=True)
