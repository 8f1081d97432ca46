from __future__ import annotations

from pathlib import Path

import pytest

from common.config.run_config import build_run_config, parse_run_config
from common.config.settings import Config, flatten
from common.errors import UsageError


def test_what_is_told_of_a_run_is_read_as_it_was() -> None:
    config = Config().with_values({"seed": 3, "privacy.epsilon": 8.0, "features.windows": "25,50"})
    told = build_run_config(
        flatten(config), out=Path("a"), events=Path("a/events.jsonl"), cache=Path("/c"), ledger=Path("l")
    )
    assert parse_run_config(told) == config
    places = {"plan": "a/plan.json", "out": "a", "events": "a/events.jsonl", "cache": "/c", "ledger": "l"}
    assert told == flatten(config) | places


def test_a_setting_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown setting 'plans'"):
        parse_run_config({"plans": "a"})
