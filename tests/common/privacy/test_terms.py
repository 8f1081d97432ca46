from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from common.config.settings import Config
from common.errors import BudgetSpent, UsageError
from common.privacy.accounting.accountants import Spend, epsilon_prv, epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.terms import Terms, agree_terms, check_delta, from_json

BASE = {"privacy.epsilon": 4.0, "training.local_epochs": 2, "federation.rounds": 5, "privacy.sample_rate": 0.25}


def terms(units: int = 100, spent: tuple[Spend, ...] = (), **more: Any) -> Terms:
    values = {**BASE, **{name.replace("__", "."): value for name, value in more.items()}}
    return Terms.of(Config().with_values(values), units, list(spent))


def test_the_noise_is_calibrated_to_all_rounds() -> None:
    own = terms()
    assert own.steps_per_round == 8  # two epochs at a rate of a quarter
    assert 3.98 < epsilon_prv([own.spend(40)], 1e-5) <= 4.0
    assert own.target_epsilon == 4.0
    assert own.budget is None


def test_each_site_has_its_own_rate_and_noise() -> None:
    small, large = (terms(units, privacy__sample_rate=0.0, training__batch_size=20) for units in (40, 400))
    assert (small.sample_rate, large.sample_rate) == (0.5, 0.05)
    assert (small.steps_per_round, large.steps_per_round) == (4, 40)
    for own in (small, large):
        assert 3.98 < epsilon_prv([own.spend(own.steps_per_round * 5)], 1e-5) <= 4.0
    assert terms(8, privacy__sample_rate=0.0, training__batch_size=20).sample_rate == 1.0


def test_of_sites_all_take_part_in_every_round() -> None:
    own = terms(4, privacy__unit="site")
    assert (own.sample_rate, own.steps_per_round) == (1.0, 1)


def test_a_noise_multiplier_is_taken_as_it_is() -> None:
    own = terms(privacy__epsilon="inf", privacy__noise_multiplier=1.5)
    assert own.noise_multiplier == 1.5
    assert own.target_epsilon is None


def test_a_budget_that_binds_sets_the_noise_by_what_is_left() -> None:
    earlier = Spend(unit="utterance", sample_rate=0.25, noise_multiplier=3.0, steps=40)
    own = terms(spent=(earlier,), privacy__budget=4.5)
    left = epsilon_rdp([earlier, own.spend(40)], 1e-5)
    assert 4.4 < left <= 4.5
    assert own.noise_multiplier > terms(privacy__budget=100.0).noise_multiplier


def test_a_spent_budget_leaves_no_terms() -> None:
    earlier = Spend(unit="utterance", sample_rate=0.25, noise_multiplier=1.0, steps=100)
    with pytest.raises(BudgetSpent, match="is spent"):
        terms(spent=(earlier,), privacy__budget=4.0)


def test_as_many_steps_of_a_round_as_the_budget_admits() -> None:
    def left(steps: int) -> int:
        budget = epsilon_rdp([Spend(unit="utterance", sample_rate=0.25, noise_multiplier=2.0, steps=steps)], 1e-5)
        more: dict[str, Any] = {
            "privacy__epsilon": "inf",
            "privacy__noise_multiplier": 2.0,
            "privacy__budget": budget * 1.000001,
        }
        own = terms(**more)
        return own.affordable([own.spend(10)])

    assert [left(steps) for steps in (10, 13, 18, 30)] == [0, 3, 8, 8]


def test_terms_survive_the_ledger() -> None:
    assert from_json(dataclasses.asdict(terms(privacy__budget=9.0))) == terms(privacy__budget=9.0)


def test_a_delta_that_allows_a_whole_unit_is_refused() -> None:
    check_delta(1e-5, 10_000, "utterance")
    with pytest.raises(UsageError, match=r"too large for 10001 utterances: expected at most 1/\(10 n\) = 1e-05"):
        check_delta(1e-5, 10_001, "utterance")
    with pytest.raises(UsageError, match=r"--delta 0\.01"):
        terms(200, privacy__delta=0.01)


def test_what_a_site_tells() -> None:
    own = terms()
    run, total = [own.spend(8)], [own.spend(8), own.spend(16)]
    figures = own.figures(run, total, stopped=True)
    assert figures["steps"] == 8
    assert figures["epsilon"] == epsilon_prv(run, 1e-5) < figures["epsilon_rdp"] < figures["epsilon_total"]
    assert figures["stopped"] is True


def config(**more: Any) -> Config:
    return Config().with_values({**BASE, **{name.replace("__", "."): value for name, value in more.items()}})


FIXED: dict[str, Any] = {"privacy__epsilon": "inf", "privacy__noise_multiplier": 1.0}


def test_a_run_goes_on_with_the_terms_that_its_ledger_keeps(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "s.jsonl")
    first = agree_terms(ledger, "run", config(), 100)
    assert agree_terms(ledger, "run", config(), 90) == first  # someone withdrew meanwhile


@pytest.mark.parametrize(
    ("began", "asked"),
    [
        ({}, {"privacy__unit": "speaker"}),
        ({}, {"privacy__delta": 1e-6}),
        ({}, {"privacy__epsilon": 2.0}),
        ({}, {"federation__rounds": 6}),
        ({"privacy__insecure_seed": True}, {}),
        ({}, FIXED),
        (FIXED, {}),
        (FIXED, {**FIXED, "privacy__noise_multiplier": 5.0}),
    ],
)
def test_a_runs_name_does_not_bring_back_other_terms(
    tmp_path: Path, began: dict[str, Any], asked: dict[str, Any]
) -> None:
    """The server names the run: with the name of an older, weaker one it must not get that one's noise."""
    ledger = Ledger(tmp_path / "s.jsonl")
    agree_terms(ledger, "trial", config(**began), 100)
    with pytest.raises(UsageError, match=r"run trial began with .*; start a run of another name"):
        agree_terms(ledger, "trial", config(**asked), 100)


def test_a_budget_that_was_lowered_holds_at_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "s.jsonl")
    assert agree_terms(ledger, "run", config(), 100).budget is None
    assert agree_terms(ledger, "run", config(privacy__budget=3.0), 100).budget == 3.0
    other = agree_terms(ledger, "other", config(privacy__budget=5.0), 100)
    assert (other.budget, agree_terms(ledger, "other", config(privacy__budget=9.0), 100).budget) == (5.0, 5.0)


def test_noise_that_was_fixed_is_held_to_the_greatest_epsilon(tmp_path: Path) -> None:
    ledger, fixed = Ledger(tmp_path / "s.jsonl"), config(**FIXED)
    own = terms(**FIXED)
    epsilon = epsilon_prv([own.spend(own.steps_per_round * own.rounds)], own.delta)
    with pytest.raises(UsageError, match=rf"come to ε = {epsilon:.3g}, at most .* is allowed"):
        agree_terms(ledger, "run", fixed, 100, most=epsilon - 0.01)
    assert ledger.terms("run") is None
    agree_terms(ledger, "run", fixed, 100, most=epsilon + 0.01)  # the Rényi figure is larger, and does not decide
    with pytest.raises(UsageError, match="is allowed"):  # the policy was tightened in the middle of the run
        agree_terms(ledger, "run", fixed, 100, most=1.0)
