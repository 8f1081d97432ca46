from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from common.errors import FedserError
from common.storage.state_store import Arrays, StateStore


def arrays(value: float) -> Arrays:
    return {"w": np.full((2, 3), value, np.float32), "b": np.array([value], np.float32)}


def store(folder: Path, site: str = "st-mary", run: str = "run-a") -> StateStore:
    return StateStore(folder, site, run)


def value(found: Arrays) -> float | None:
    return float(found["b"][0]) if found else None


def test_a_round_starts_from_what_the_last_one_before_it_kept(tmp_path: Path) -> None:
    own = store(tmp_path)
    assert own.before("train", 1) == {}
    for turn in (1, 2, 5):
        own.keep("train", turn, arrays(turn))
    found = own.before("train", 6)
    assert set(found) == {"w", "b"}
    np.testing.assert_array_equal(found["w"], arrays(5)["w"])
    assert value(own.before("train", 5)) == 2  # asked again it starts from what it started from


def test_the_last_two_rounds_are_kept(tmp_path: Path) -> None:
    for turn in range(1, 6):
        store(tmp_path).keep("train", turn, arrays(turn))
    assert sorted(path.name for path in tmp_path.rglob("*.safetensors")) == [
        "train-000004.safetensors",
        "train-000005.safetensors",
    ]
    store(tmp_path).keep("train", 5, arrays(5))
    assert value(store(tmp_path).before("train", 5)) == 4


def test_what_a_round_started_from_stays_however_many_of_its_successors_were_not_taken(tmp_path: Path) -> None:
    own = store(tmp_path)
    for turn in (1, 2, 3, 4):
        own.keep("train", turn, arrays(turn), start=1)
        assert value(own.before("train", 2)) == 1
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_a_run_that_is_put_back_forgets_what_came_later(tmp_path: Path) -> None:
    own = store(tmp_path)
    for turn in (4, 5):
        own.keep("train", turn, arrays(turn))
    own.keep("train", 4, arrays(40))
    assert value(own.before("train", 6)) == 40


def test_passes_runs_and_sites_know_nothing_of_each_other(tmp_path: Path) -> None:
    store(tmp_path).keep("train", 3, arrays(3))
    assert store(tmp_path).before("all", 9) == {}
    assert store(tmp_path, run="run-b").before("train", 9) == {}
    assert store(tmp_path, site="charite").before("train", 9) == {}


def test_it_can_be_read_by_its_owner_alone(tmp_path: Path) -> None:
    store(tmp_path).keep("train", 1, arrays(1))
    [path] = tmp_path.rglob("*.safetensors")
    assert path.stat().st_mode & 0o777 == 0o600


def test_names_are_no_paths(tmp_path: Path) -> None:
    StateStore(tmp_path / "in", "../out", "..").keep("train", 1, arrays(1))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    StateStore(tmp_path / "in", "../out", "..").forget()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [0, 60, -1])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, at: int) -> None:
    store(tmp_path).keep("train", 1, arrays(1))
    [path] = tmp_path.rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(FedserError, match=r"train-000001\.safetensors is (damaged; put a copy back|of another site)"):
        store(tmp_path).before("train", 2)


def test_a_file_of_another_site_run_or_round_is_one_clear_line(tmp_path: Path) -> None:
    store(tmp_path).keep("train", 1, arrays(1))
    [path] = tmp_path.rglob("*.safetensors")
    shutil.copy(path, path.with_name("train-000002.safetensors"))
    with pytest.raises(FedserError, match=r"train-000002\.safetensors is of another site, run or round; delete it"):
        store(tmp_path).before("train", 3)
    other = tmp_path / "site-charite/run-run-a/train-000001.safetensors"
    other.parent.mkdir(parents=True)
    shutil.copy(path, other)
    with pytest.raises(FedserError, match="is of another site"):
        store(tmp_path, site="charite").before("train", 3)


def test_what_is_half_written_counts_for_nothing(tmp_path: Path) -> None:
    own = store(tmp_path / "in")
    own.keep("train", 1, arrays(1))
    [path] = tmp_path.rglob("*.safetensors")
    path.with_name(".partial-0123").write_bytes(b"half")
    path.with_name("train-old.safetensors").write_bytes(b"somebody's")
    assert value(own.before("train", 9)) == 1
    own.forget()
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_forgotten_at_its_end_and_no_other(tmp_path: Path) -> None:
    store(tmp_path).keep("train", 1, arrays(1))
    store(tmp_path, run="run-b").keep("train", 1, arrays(2))
    store(tmp_path).forget()
    store(tmp_path).forget()  # a farewell that comes twice
    assert store(tmp_path).before("train", 2) == {}
    assert value(store(tmp_path, run="run-b").before("train", 2)) == 2


def test_of_runs_that_never_ended_the_last_stays(tmp_path: Path) -> None:
    for number, run in enumerate(("first", "second")):
        store(tmp_path, run=run).keep("train", 1, arrays(number))
        os.utime(tmp_path / f"site-st-mary/run-{run}", (number, number))
    store(tmp_path, run="third").keep("train", 1, arrays(2))
    kept = sorted(path.name for path in (tmp_path / "site-st-mary").iterdir())
    assert kept == ["run-second", "run-third"]


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    own, other = store(tmp_path / "a"), store(tmp_path / "b", site="charite")
    assert own.fingerprint("train", 9) == ""
    own.keep("train", 1, arrays(1))
    other.keep("train", 2, arrays(1))
    assert own.fingerprint("train", 1) == other.fingerprint("train", 2) != ""
    own.keep("train", 2, arrays(2))
    assert own.fingerprint("train", 2) != own.fingerprint("train", 1)
