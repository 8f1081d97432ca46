"""A budget over all models of a run: kept by the plan, or refused before the first fold."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.data.resident import listing
from common.errors import UsageError
from common.privacy.accounting.accountants import Spend, epsilon_rdp
from common.progress import Display
from server.records.composition import compose
from simulations.engine.planned_budget import planned_models, refuse_passed_budget
from simulations.engine.planning import plans
from simulations.job.simulate import Job
from simulations.job.start import Start, carry_out
from tests.simulations.engine.test_delta_run import manifest, private
from tests.simulations.job.test_simulate import run

__all__ = ["manifest"]  # the fixture
FOLDS: dict[str, Any] = {"data__held_out": "kfold:3", "federation__rounds": 1}


def check(own: Job, *, baselines: bool = False, ledger: Path | None = None) -> None:
    selection = listing(own.config.data)
    planned = plans(own.config, selection, [])
    refuse_passed_budget(own.config, planned, selection.utterances, baselines=baselines, ledger=ledger)


def noises(whole: dict[str, Any]) -> set[float]:
    return {own["noise_multiplier"] for fold in whole["folds"] for own in fold["privacy"]["sites"].values()}


def test_what_is_planned_is_what_is_spent(manifest: Path, tmp_path: Path) -> None:
    own = private(manifest, tmp_path / "out", **FOLDS, privacy__unit="speaker")
    selection = listing(own.config.data)
    planned = planned_models(own.config, plans(own.config, selection, []), selection.utterances, baselines=True)
    assert len(planned) == 3 * (1 + 1 + 3)
    assert compose(planned, 1e-5).as_json() == run(replace(own, baselines=True))["privacy"]["all"]


@pytest.mark.parametrize("unit", ["utterance", "speaker", "site"])
@pytest.mark.parametrize("asked", [{"privacy__epsilon": 8.0}, {"privacy__noise_multiplier": 1.0}])
def test_folds_that_pass_the_budget_together_are_refused_with_both_figures_and_with_what_fits(
    manifest: Path, tmp_path: Path, unit: str, asked: dict[str, Any]
) -> None:
    more: dict[str, Any] = {**FOLDS, **asked, "privacy__unit": unit, "privacy__budget": 5.0}
    own = private(manifest, tmp_path / "out", **more)
    with pytest.raises(UsageError, match=r"in 2 of this run's comes to ε = [\d.]+, above --budget 5: give") as error:
        run(own)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out" / "folds").exists()
    flag, value = re.search(r"give --(epsilon|noise-multiplier) ([\d.]+)", str(error.value)).groups()  # type: ignore[union-attr]
    name = "privacy__" + flag.replace("-", "_")
    check(private(manifest, tmp_path / "fitting", **{**more, name: float(value)}))
    wrong = 1.05 if flag == "epsilon" else 1 / 1.05
    with pytest.raises(UsageError):
        check(private(manifest, tmp_path / "passing", **{**more, name: float(value) * wrong}))


def test_within_the_budget_all_folds_have_the_target_s_noise(manifest: Path, tmp_path: Path) -> None:
    free = run(private(manifest, tmp_path / "free", **FOLDS))
    kept = run(private(manifest, tmp_path / "kept", **FOLDS, privacy__budget=free["privacy"]["all"]["epsilon"]))
    assert noises(kept) == noises(free)
    assert len(noises(kept)) == 1
    assert kept["privacy"]["all"] == free["privacy"]["all"]
    assert not any(own["stopped"] for fold in kept["folds"] for own in fold["privacy"]["sites"].values())


def test_baselines_count_too(manifest: Path, tmp_path: Path) -> None:
    """One fold: a person is in its model, in the pooled one, and in a site's own."""
    own = private(manifest, tmp_path / "out", privacy__budget=10.0)
    check(own)
    with pytest.raises(UsageError, match=r"in 3 of this run's"):
        check(own, baselines=True)


def test_a_single_model_leaves_its_budget_to_the_ledgers(manifest: Path, tmp_path: Path) -> None:
    check(private(manifest, tmp_path / "out", privacy__budget=1.0))


def test_with_a_ledger_the_filter_decides_over_what_it_holds(manifest: Path, tmp_path: Path) -> None:
    """Sites by column, so that everybody stays where they are: each of four sites is in all three folds."""
    more: dict[str, Any] = {
        **FOLDS,
        "data__sites": "column",
        "privacy__noise_multiplier": 4,
        "privacy__unit": "speaker",
    }
    ledger = tmp_path / "ledgers"
    fold = Spend(unit="speaker", sample_rate=1.0, noise_multiplier=4.0, steps=1)
    budget = epsilon_rdp([fold] * 5, 1e-5)  # for one run of three folds, not for two
    run(private(manifest, tmp_path / "a", ledger=ledger, **more, privacy__budget=budget))
    with pytest.raises(UsageError, match=r"with what the ledger holds, above --budget"):
        run(private(manifest, tmp_path / "b", ledger=ledger, **more, privacy__budget=budget))
    assert not (tmp_path / "b" / "folds").exists()


def test_a_refused_run_leaves_no_folder_in_the_way(manifest: Path, tmp_path: Path) -> None:
    """Nor is the one that it was to replace deleted."""
    own = private(manifest, tmp_path / "made", **FOLDS, privacy__unit="speaker", privacy__budget=9.0)
    wish = Start(
        flags={}, out=None, resume=None, overwrite=True, engine=None, workers=0, baselines=False, command="fedser x"
    )
    for place in ("new", "made"):
        with Display() as display, pytest.raises(UsageError, match="above --budget 9"):
            carry_out(replace(own, out=tmp_path / place), wish, display)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "made" / "run.json").exists()


def test_a_ledger_of_a_finer_unit_counts_a_coarser_runs_steps(manifest: Path, tmp_path: Path) -> None:
    ledger, more = tmp_path / "ledgers", {**FOLDS, "data__sites": "column", "privacy__noise_multiplier": 4}
    for unit in ("utterance", "speaker"):
        run(private(manifest, tmp_path / unit, ledger=ledger, **more, privacy__unit=unit, privacy__budget=1000))
        assert (tmp_path / unit / "result.json").exists()


def test_a_run_that_is_refused_for_its_ledger_deletes_none(manifest: Path, tmp_path: Path) -> None:
    more = {**FOLDS, "data__sites": "column", "privacy__unit": "speaker", "privacy__budget": 9.0}
    own = private(manifest, tmp_path / "made", ledger=tmp_path / "ledgers", **more)
    (tmp_path / "made/folds/old").mkdir(parents=True)
    wish = Start(
        flags={}, out=None, resume=None, overwrite=True, engine=None, workers=0, baselines=False, command="fedser x"
    )
    with Display() as display, pytest.raises(UsageError, match="above --budget 9"):
        carry_out(own, wish, display)
    assert (tmp_path / "made/folds/old").is_dir()
