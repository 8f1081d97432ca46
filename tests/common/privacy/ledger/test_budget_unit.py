"""Whom a budget is for: every pair of units, δs and budgets, in one ledger and in a folder of them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest

from common.config.settings import Config
from common.config.units import UNITS
from common.errors import UsageError
from common.privacy.accounting.accountants import ORDERS, Filter, Spend, epsilon_prv, epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.ledger.budget_unit import budget_unit, joined, refuse_other
from common.privacy.recipe import private_settings
from common.privacy.terms import Terms, agree_terms

SMALL = {"privacy.epsilon": 1.0, "training.local_epochs": 1, "federation.rounds": 2, "privacy.sample_rate": 0.5}
UNIT_NAMES = tuple(UNITS)
AT_SITES = [name for name, unit in UNITS.items() if unit.at_sites]


def config(unit: str, budget: float | None = None, **more: Any) -> Config:
    own = {**SMALL, "privacy.unit": unit, **({"privacy.budget": budget} if budget else {})}
    return Config().with_values({**own, **{name.replace("__", "."): value for name, value in more.items()}})


def spend_whole(ledger: Ledger, run: str, own: Config, *, named: str = "") -> Terms:
    """A run at a site of ten units, round by round, as far as its budget lets it."""
    terms = agree_terms(ledger, run, own, 10, named=named)
    for number in range(terms.rounds):
        with ledger.round(run, number) as entry:
            entry.reserve(terms.spend(terms.steps_per_round), terms.filter)
            entry.store(b"weights")
    return terms


def test_the_speaker_recipe_at_epsilon_8_tells_19_of_a_recording(tmp_path: Path) -> None:
    """With q = 1 the steps are one Gaussian, and what moves by 2 C under noise of sigma C is exact."""
    own = Config().with_values(private_settings({"privacy.epsilon": 8.0, "privacy.unit": "speaker"}))
    ledger = Ledger(tmp_path / "site.jsonl")
    terms = agree_terms(ledger, "run", own, 8)
    assert terms.sample_rate == 1
    for number in range(terms.rounds):
        with ledger.round("run", number) as entry:
            entry.reserve(terms.spend(terms.steps_per_round), terms.filter)
            entry.store(b"weights")
    assert round(epsilon_prv(ledger.spends("speaker"), 1e-5), 1) == 8.0
    assert round(epsilon_prv(ledger.spends("utterance"), 1e-5), 1) == 19.1


@pytest.mark.parametrize(("first", "second"), [*itertools.product(AT_SITES, AT_SITES)])
@pytest.mark.parametrize("named", ["", *AT_SITES])
def test_a_budget_bounds_its_own_unit_or_the_run_is_refused(
    tmp_path: Path, first: str, second: str, named: str
) -> None:
    """Whatever two runs hide: together they keep the budget of its unit, by an accountant, or the second has a line."""
    ledger, budget = Ledger(tmp_path / "site.jsonl"), 5.0
    spend_whole(ledger, "first", config(first, budget), named=first)  # the policy of then named what it hid
    whom = named or first
    fits = UNITS[second].covers(whom) and UNITS[first].covers(whom)
    if not fits:
        with pytest.raises(UsageError, match=r"without bound") as refused:
            agree_terms(ledger, "second", config(second, budget), 10, named=named)
        assert "\n" not in str(refused.value)
        assert ledger.terms("second") is None
        return
    terms = spend_whole(ledger, "second", config(second, budget, privacy__epsilon=4.5), named=named)
    assert terms.budget_unit == whom
    told = ledger.spends(whom)
    assert len(told) == 4
    assert epsilon_prv(told, 1e-5) < epsilon_rdp(told, 1e-5) <= budget
    assert ledger.spends(second, "second") == [terms.spend(terms.steps_per_round)] * 2
    factor = 1 if second == whom else 2
    assert told[2].noise_multiplier == terms.noise_multiplier / factor


def test_a_coarser_run_is_calibrated_to_what_is_left_of_a_finer_budget(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "site.jsonl")
    spend_whole(ledger, "recordings", config("utterance", 6.0))
    terms = spend_whole(ledger, "people", config("speaker", 6.0, privacy__epsilon=6.0))
    total = epsilon_rdp(ledger.spends("utterance"), 1e-5)
    assert terms.filter is not None
    assert 5.98 < terms.filter.epsilon(ledger.spends("utterance")) <= 6.0
    assert epsilon_prv(ledger.spends("speaker", "people"), 1e-5) < 6.0
    figures = terms.figures(ledger.spends("speaker", "people"), ledger.spends("utterance"), stopped=False)
    assert (figures["epsilon_total"], figures["budget_unit"]) == (total, "utterance")


@pytest.mark.parametrize("delta", [1e-6, 2e-5])
def test_another_delta_is_refused_under_a_budget(tmp_path: Path, delta: float) -> None:
    ledger = Ledger(tmp_path / "site.jsonl")
    agree_terms(ledger, "first", config("utterance"), 10)
    agree_terms(ledger, "open", config("utterance", privacy__delta=delta), 10)  # without a budget: an account
    with pytest.raises(UsageError, match=rf"the run's δ is {delta:g}, the ledger's budget is at δ = 1e-05"):
        agree_terms(ledger, "other", config("utterance", 9.0, privacy__delta=delta), 10)
    assert agree_terms(ledger, "same", config("utterance", 9.0), 10).budget == 9.0


def test_without_a_budget_all_is_told_of_the_finest_unit(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "site.jsonl")
    spend_whole(ledger, "people", config("speaker"))
    assert budget_unit(ledger.begun(), "speaker") == "speaker"
    spend_whole(ledger, "recordings", config("utterance"))
    terms = spend_whole(ledger, "again", config("speaker"))
    assert terms.budget_unit == "utterance"
    assert epsilon_rdp(ledger.spends(terms.budget_unit), 1e-5) < math.inf


@pytest.mark.parametrize("budgets", [(9.0, 5.0), (5.0, 9.0), (5.0, 5.0)])
def test_the_order_of_a_budget_is_fixed_once(tmp_path: Path, budgets: tuple[float, float]) -> None:
    """A budget that changes, when outputs are known, must not choose the order anew."""
    ledger = Ledger(tmp_path / "site.jsonl")
    fixed = {"privacy__epsilon": "inf", "privacy__noise_multiplier": 6.0}
    first = spend_whole(ledger, "first", config("utterance", budgets[0], **fixed))
    assert first.order in ORDERS
    second = agree_terms(ledger, "second", config("utterance", budgets[1], **fixed), 10)
    assert second.order == first.order
    assert second.filter == Filter(budgets[1], 1e-5, "utterance", first.order)
    lowered = agree_terms(ledger, "first", config("utterance", 2.0, **fixed), 10)
    assert (lowered.budget, lowered.order) == (2.0, first.order)
    alone = Filter(budgets[0], 1e-5).order_of([first.spend(1)])
    assert first.order == alone


# A folder of ledgers: what fedser simulate --ledger names


@pytest.mark.parametrize(("first", "second"), [*itertools.product(UNIT_NAMES, UNIT_NAMES)])
def test_runs_that_share_a_ledger_share_its_budget(tmp_path: Path, first: str, second: str) -> None:
    name = "federation" if first == "site" else "site-0"
    agree_terms(Ledger.of_site(tmp_path, name), "first", config(first, 7.0), 10)
    if UNITS[second].covers(first) and UNITS[second].at_sites == UNITS[first].at_sites:
        assert joined(tmp_path, config(second)).privacy.budget == 7.0
        assert joined(tmp_path, config(second, 3.0)).privacy.budget == 3.0
    else:
        for own in (config(second), config(second, 3.0)):
            with pytest.raises(UsageError, match=rf"the run hides the {second}, .*budget is for each {first}"):
                joined(tmp_path, own)


def test_a_run_without_privacy_is_refused_where_the_ledger_has_a_budget(tmp_path: Path) -> None:
    plain = Config()
    assert joined(tmp_path / "none", plain) == plain
    agree_terms(Ledger.of_site(tmp_path, "site-0"), "open", config("utterance"), 10)
    assert joined(tmp_path, plain) == plain
    agree_terms(Ledger.of_site(tmp_path, "site-0"), "bounded", config("utterance", 7.0), 10)
    with pytest.raises(UsageError, match=r"has a budget of ε = 7, and a run without privacy .*; give --epsilon"):
        joined(tmp_path, plain)


def test_a_site_unit_is_no_units_of_a_sites_own_ledger() -> None:
    begun = [{"unit": "speaker", "delta": 1e-5}]
    with pytest.raises(UsageError, match=r"hides the site, whose noise the server adds and which counts in no site's"):
        refuse_other(begun, config("site").privacy)
    refuse_other([], config("site").privacy, named="site")


@pytest.mark.parametrize("unit", UNIT_NAMES)
@pytest.mark.parametrize("whom", UNIT_NAMES)
def test_steps_count_by_the_steps_between_neighbours(unit: str, whom: str) -> None:
    steps = Spend(unit=unit, sample_rate=0.5, noise_multiplier=3.0, steps=2)
    noise = {True: 3.0, False: 1.5 if whom in UNITS[unit].hides else 0.0}[unit == whom]
    assert steps.toward(whom) == Spend(unit=whom, sample_rate=0.5, noise_multiplier=noise, steps=2)
