from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.errors import FederationError
from server.records.log_heads import Heads
from server.run.checkpoint import State
from server.sites.handshake import Node

HASH = "ab" * 32


def node(site: str, number: int) -> Node:
    return Node(id=number, site=site, features=3, examples=9, validation=0, test=0, speakers=3, validation_speakers=0)


def state(**heads: dict[str, tuple[int, str]]) -> State:
    return State(arrays={}, scaling={}, **heads)  # type: ignore[arg-type]


def test_what_a_site_told_is_known_to_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "state/heads.json"
    nodes = [node("a", 1), node("b", 2)]
    fresh = state()
    Heads(path, nodes).recall(fresh)
    assert (fresh.heads, fresh.audits) == ({}, {})
    Heads(path, nodes).keep(state(heads={"a": (3, HASH)}, audits={"a": (7, HASH), "b": (4, HASH)}))
    Heads(path, nodes[:1]).recall(fresh)
    assert (fresh.heads, fresh.audits) == ({"a": (3, HASH)}, {"a": (7, HASH)})
    Heads(path, nodes[1:]).keep(state(audits={"b": (5, HASH)}))  # another run, without a
    Heads(path, nodes).recall(fresh)
    assert fresh.audits == {"a": (7, HASH), "b": (5, HASH)}


def test_what_a_resumed_run_knows_later_stays(tmp_path: Path) -> None:
    heads = Heads(tmp_path / "heads.json", [node("a", 1)])
    heads.keep(state(heads={"a": (3, HASH)}))
    resumed = state(heads={"a": (5, "cd" * 32)})
    heads.recall(resumed)
    assert resumed.heads == {"a": (5, "cd" * 32)}


def test_a_site_with_a_new_key_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "heads.json"
    Heads(path, [node("a", 1)]).keep(state(heads={"a": (3, HASH)}))
    fresh = state()
    Heads(path, [node("a", 99)]).recall(fresh)
    assert fresh.heads == {}


@pytest.mark.parametrize("text", ["{", "[]", '{"a": {"node": 1, "ledger": [1]}}', '{"a": {"node": 1, "audit": null}}'])
def test_a_broken_file_is_one_line_before_any_round(tmp_path: Path, text: str) -> None:
    path = tmp_path / "heads.json"
    path.write_text(text)
    with pytest.raises(FederationError, match=r"heads.json cannot be read .*; put back a copy, or delete it"):
        Heads(path, [node("a", 1)])


def test_the_file_is_readable_by_people(tmp_path: Path) -> None:
    path = tmp_path / "heads.json"
    Heads(path, [node("a", 1)]).keep(state(heads={"a": (3, HASH)}))
    assert json.loads(path.read_text()) == {"a": {"node": 1, "ledger": [3, HASH], "audit": None}}


def test_a_run_that_goes_on_without_a_site_leaves_what_it_told(tmp_path: Path) -> None:
    path = tmp_path / "heads.json"
    Heads(path, [node("a", 1), node("b", 2)]).keep(state(audits={"a": (3, HASH), "b": (4, HASH)}))
    Heads(path, [node("b", 2)]).keep(state(audits={"a": (3, HASH), "b": (5, HASH)}))  # resumed with fewer sites
    fresh = state()
    Heads(path, [node("a", 1), node("b", 2)]).recall(fresh)
    assert fresh.audits == {"a": (3, HASH), "b": (5, HASH)}
