from __future__ import annotations

from pathlib import Path

import pytest

from common.config.settings import Config
from common.errors import FedserError
from server.run.events import Events, read, rounds_in_all


def test_a_line_that_a_kill_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = Events(path, "kfold:5:0")
    events.add({"round": 1})
    with path.open("a") as file:
        file.write('{"fold": "kfold:5:0", "rou')
    events.catch_up([{"round": 1}, {"round": 2}])
    events.add({"round": 3})
    assert [event["round"] for event in read(path)] == [1, 2, 3]


def test_another_fold_s_rounds_are_its_own(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    Events(path, "a").add({"round": 1})
    Events(path, "b").catch_up([{"round": 1}])
    assert [(event["fold"], event["round"]) for event in read(path)] == [("a", 1), ("b", 1)]


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(FedserError, match=r"events\.jsonl cannot be written: .*; go on with --resume"):
        Events(tmp_path / "none" / "events.jsonl", "a").add({"round": 1})


def test_how_many_rounds_there_will_be_shows_as_they_come() -> None:
    config = Config().with_values({"federation.rounds": 10})
    alone, validated = {"round": 1, "validation": None}, {"round": 1, "validation": {"uar": 0.5}}
    assert rounds_in_all([], config) == 10
    assert rounds_in_all([alone], config) == 10
    assert rounds_in_all([validated], config) == 20
    assert rounds_in_all([validated], config.with_values({"federation.refit": False})) == 10
    assert rounds_in_all([validated, {"round": 11, "validation": None, "refit": 7}], config) == 17
