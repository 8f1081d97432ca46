from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.errors import FederationError
from common.storage.chained_file import Chain
from server.records.audit_log import ServerAudit, note_refusals
from server.run.checkpoint import State
from tests.server.replies import reply

W = {"w": np.zeros(2, np.float32)}


def entry(number: int, **totals: float) -> dict[str, Any]:
    sites = {
        name: {"examples": 4, "bytes": 10, "epsilon": 0.5, "epsilon_total": total} for name, total in totals.items()
    }
    return {"round": number, "sites": {**sites, "kept": {"examples": 4, "bytes": 10}}}


def test_the_epsilon_of_a_site_that_tells_it_is_noted_before_and_after(tmp_path: Path) -> None:
    audit = ServerAudit(tmp_path / "audit.jsonl", 7, "f" * 64)
    state = State(arrays=W, scaling={})
    for number, totals in enumerate([{"a": 1.5}, {"b": 3.0}, {"a": 2.5, "b": float("inf")}], 1):
        state.history.append(entry(number, **totals))
        audit.note_round(number, W, state, state.history[-1]["sites"])
    first, _, third = Chain(tmp_path / "audit.jsonl").read()
    assert (first["sites"]["a"]["epsilon_before"], first["sites"]["a"]["epsilon_after"]) == (None, 1.5)
    assert (third["sites"]["a"]["epsilon_before"], third["sites"]["a"]["epsilon_after"]) == (1.5, 2.5)
    assert (third["sites"]["b"]["epsilon_before"], third["sites"]["b"]["epsilon_after"]) == (3.0, None)  # not finite
    assert "epsilon_after" not in first["sites"]["kept"]


def test_every_line_says_of_which_run_and_bundle_it_is(tmp_path: Path) -> None:
    audit = ServerAudit(tmp_path / "audit.jsonl", 7, "f" * 64)
    audit.begin({"seed": 1}, ["a"])
    audit.note_round(1, W, State(arrays=W, scaling={}, history=[entry(1)]), entry(1)["sites"])
    audit.note_refused(1, "train", {"a": "why"})
    audit.note_refused(1, "train", {})
    lines = Chain(tmp_path / "audit.jsonl").read()
    assert [(line["kind"], line["run"], line["bundle"]) for line in lines] == [
        (kind, "7", "f" * 64) for kind in ("start", "round", "refused")
    ]


def test_the_keys_of_a_hostile_reply_do_not_fill_the_log(tmp_path: Path) -> None:
    audit = ServerAudit(tmp_path / "audit.jsonl", 7, "")
    odd = reply({f"{i:04}{'x' * 500}": np.zeros(1) for i in range(300)})
    audit.hear("a", odd)
    audit.note_round(1, W, State(arrays=W, scaling={}, history=[entry(1, a=1.0)]), entry(1, a=1.0)["sites"])
    [line] = Chain(tmp_path / "audit.jsonl").read()
    keys = line["sites"]["a"]["records"]["arrays"]
    assert len(keys) == 200
    assert max(map(len, keys)) == 200


def test_what_was_refused_is_noted_where_it_ends_the_run_too(tmp_path: Path) -> None:
    audit = ServerAudit(tmp_path / "audit.jsonl", 7, "")

    def end_badly() -> None:
        with note_refusals(audit, 3, "evaluate.test") as refused:
            refused["a"] = "the site failed"
            raise FederationError("nobody scored it")

    with pytest.raises(FederationError):
        end_badly()
    [line] = Chain(tmp_path / "audit.jsonl").read()
    assert (line["kind"], line["round"], line["type"], line["sites"]) == (
        "refused",
        3,
        "evaluate.test",
        {"a": "the site failed"},
    )
    with note_refusals(None, 1, "train") as refused:
        refused["a"] = "in a simulation there is no such log"
