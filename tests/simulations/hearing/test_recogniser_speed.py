from __future__ import annotations

import pytest

from common.progress import Display
from simulations.hearing.recogniser_speed import Sizes, run

TINY = Sizes(hop_seconds=6, stream_seconds=3, counts=(2,), hour=4, starts=1, by_hand=2)


@pytest.mark.slow
def test_the_figures_are_those_of_the_contract() -> None:
    with Display(silent=True) as display:
        told = run(display, TINY)
    assert list(told) == ["hop_0.1_ms", "hop_0.5_ms", "streams", "hour", "three_hours_rss_mb", "start", "baseline"]
    for own in (told, told["baseline"]):
        for name in ("hop_0.1_ms", "hop_0.5_ms"):
            assert 0 < own[name]["p50"] <= own[name]["p99"]
        assert own["start"]["seconds"] > 0
    assert told["start"]["rss_mb"] < told["baseline"]["start"]["rss_mb"]
    assert 40 < told["hour"]["rss_mb"] < 300
    assert 40 < told["three_hours_rss_mb"] < 300
    assert told["streams"]["lost"] == 0
    assert told["streams"]["tried"]["2"]["events"] > 10  # so that something is measured
