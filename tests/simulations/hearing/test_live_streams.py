from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulations.hearing import live_streams
from simulations.hearing.hop_times import percentiles
from simulations.hearing.live_streams import most_streams


def found(monkeypatch: pytest.MonkeyPatch, bears: int, lost_from: int = 10**9) -> dict[str, Any]:
    """What is found of a service that bears so many streams."""

    def tried(_: Path, streams: int, *__: Any) -> dict[str, Any]:
        return {"p99": 99.0 if streams <= bears else 101.0, "lost": int(streams >= lost_from), "events": 5}

    monkeypatch.setattr(live_streams, "_try", tried)
    return most_streams(Path(), 1.0, print, counts=(10, 50, 100, 150, 200))


@pytest.mark.parametrize(("bears", "tries"), [(60, [50, 100]), (120, [100, 150]), (999, [100, 150, 200])])
def test_it_looks_up_or_down_for_most_streams(monkeypatch: pytest.MonkeyPatch, bears: int, tries: list[int]) -> None:
    told = found(monkeypatch, bears)
    assert sorted(map(int, told["tried"])) == tries
    assert told["count"] == max(own for own in tries if own <= bears)
    assert (told["p99_ms"], told["lost"]) == (99.0, 0)


def test_where_even_the_fewest_are_too_many_there_is_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    told = found(monkeypatch, 0)
    assert (told["count"], told["p99_ms"], list(told["tried"])) == (0, 101.0, ["10", "50", "100"])


def test_streams_that_lose_an_event_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, 999, lost_from=100)["count"] == 50


def test_percentiles_are_in_milliseconds() -> None:
    assert percentiles([0.001] * 98 + [0.5] * 2) == {"p50": 1.0, "p99": 500.0}
