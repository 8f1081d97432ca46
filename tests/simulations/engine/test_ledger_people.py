"""A folder of ledgers is of people who stay at their sites."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.data.resident import listing
from common.errors import FedserError, UsageError
from simulations.engine.ledger_people import FILE, settle_people
from simulations.engine.planning import plans
from tests.simulations import tiny
from tests.simulations.engine.test_delta_run import manifest, private
from tests.simulations.job.test_simulate import run

__all__ = ["manifest"]  # the fixture
FIXED: dict[str, Any] = {"privacy__noise_multiplier": 50.0, "federation__rounds": 1}


@pytest.fixture
def ledger(manifest: Path, tmp_path: Path) -> Path:
    """Of a run that held out two of eight people, with the others at three sites."""
    run(private(manifest, tmp_path / "first", ledger=tmp_path / "ledgers", **FIXED))
    return tmp_path / "ledgers"


@pytest.mark.parametrize(
    "other",
    [
        {"data__sites": "2"},
        {"data__held_out": "kfold:4:2"},
        {"data__held_out": "kfold:2:0"},
        {"data__sites": "speaker"},
        {"data__sites": "column"},
        {"data__sites": "dirichlet:3:1"},
    ],
)
def test_a_run_whose_people_are_at_other_sites_is_refused(
    manifest: Path, tmp_path: Path, ledger: Path, other: dict[str, Any]
) -> None:
    before = sorted((path.name, path.read_bytes()) for path in ledger.glob("*.json*") if path.is_file())
    own = private(manifest, tmp_path / "second", ledger=ledger, **FIXED, **other)
    with pytest.raises(UsageError, match=r"--ledger .* counts speaker \d\d at .*, and in fold .* is at ") as error:
        run(own)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "second" / "folds").exists()
    assert sorted((path.name, path.read_bytes()) for path in ledger.glob("*.json*") if path.is_file()) == before


def test_the_same_people_at_the_same_sites_go_on(manifest: Path, tmp_path: Path, ledger: Path) -> None:
    """Numbers deal people by name: another seed changes nothing of it."""
    whole = run(private(manifest, tmp_path / "second", ledger=ledger, **FIXED, seed=3))
    assert all(own["epsilon_total"] > own["epsilon_rdp"] for own in whole["privacy"]["sites"].values())


@pytest.mark.parametrize("sites", ["speaker", "column"])
def test_folds_that_deal_people_alike_share_ledgers(manifest: Path, tmp_path: Path, sites: str) -> None:
    config = tiny.config(manifest, data__held_out="kfold:4", data__sites=sites)
    planned = plans(config, listing(config.data), [])
    for _ in range(2):
        settle_people(tmp_path / "ledgers", planned)
    assert len(json.loads((tmp_path / "ledgers" / FILE).read_text())["sites"]) == 8


def test_folds_that_deal_people_anew_do_not(manifest: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {**FIXED, "data__held_out": "kfold:4"}
    with pytest.raises(UsageError, match="in all folds: speaker, session or column"):
        run(private(manifest, tmp_path / "out", ledger=tmp_path / "ledgers", **more))
    assert not (tmp_path / "ledgers").exists()


def test_baselines_are_in_no_site_s_ledger(manifest: Path, tmp_path: Path, ledger: Path) -> None:
    own = private(manifest, tmp_path / "second", ledger=ledger, **FIXED)
    with pytest.raises(UsageError, match="leave one of the two out"):
        run(replace(own, baselines=True))


def test_a_list_of_people_that_cannot_be_read_ends_it(manifest: Path, tmp_path: Path, ledger: Path) -> None:
    (ledger / FILE).write_text("{")
    with pytest.raises(FedserError, match="expected who is at which site"):
        run(private(manifest, tmp_path / "second", ledger=ledger, **FIXED))
