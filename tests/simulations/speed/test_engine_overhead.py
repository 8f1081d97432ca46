"""The benchmark of the engine, with so few nodes that a test may run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict, UserConfig

from simulations.engine.worker_grid import RUN_ID, InProcessGrid
from simulations.speed import engine_overhead
from simulations.speed.noop_app import noop


def test_a_round_of_nodes_that_send_arrays_back_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_overhead, "SCALE_PARAMETERS", 50)
    told = engine_overhead.scale_once(3)
    assert set(told) == {"seconds", "rss_mb"}
    assert told["seconds"] > 0
    assert told["rss_mb"] > 50  # torch alone takes more


def test_the_memory_is_that_of_a_process_for_each_number_of_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_overhead, "SCALE_NODES", (10, 20))
    monkeypatch.setattr(engine_overhead, "_scale_apart", lambda nodes: {"seconds": 0.1 * nodes, "rss_mb": 5.0 * nodes})
    told = engine_overhead.scale()
    assert told["clients"] == 20
    assert told["ms_per_client"] == pytest.approx(100.0)
    assert told["rss_mb"] == {"10": 50.0, "20": 100.0}


def test_the_app_that_does_nothing_says_how_long_its_rounds_took(tmp_path: Path) -> None:
    out = tmp_path / "seconds.json"
    settings: UserConfig = {"rounds": 2, "out": str(out)}
    with InProcessGrid(lambda: noop.client, [{"partition-id": 0}, {"partition-id": 1}], {}, workers=2) as grid:
        noop.server(grid, Context(RUN_ID, 0, {}, RecordDict(), settings))
    assert 0 < json.loads(out.read_text()) < 60
