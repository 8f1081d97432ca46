import json
import math
from pathlib import Path

import pytest

from common.errors import BudgetSpent, LedgerError, UsageError
from common.privacy.accounting.accountants import Filter, Spend, epsilon_prv, epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.storage.chained_file import Chain
from tests.common.privacy.ledgers import SITE, STEPS, TERMS, fail, kinds, make, play


def test_a_round_is_reserved_computed_and_stored(tmp_path: Path) -> None:
    ledger = make(tmp_path / "new" / "folder")
    with ledger.round("run", 3) as entry:
        before = entry.reply
        entry.reserve(STEPS)
        assert kinds(ledger) == ["begin", "reserve"]
        assert ledger.spends("utterance") == [STEPS]
        entry.store(b"weights")
        assert (before, entry.reply) == (None, b"weights")
    assert [{k: v for k, v in e.items() if k not in ("time", "prev", "hash")} for e in Chain(ledger.path).read()] == [
        {"n": 1, "kind": "begin", "run": "run", "terms": TERMS},
        {
            "n": 2,
            "kind": "reserve",
            "run": "run",
            "round": 3,
            "unit": "utterance",
            "sample_rate": 0.1,
            "noise_multiplier": 1.0,
            "steps": 10,
        },
        {
            "n": 3,
            "kind": "store",
            "run": "run",
            "round": 3,
            "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
        },
    ]
    assert Ledger(ledger.path).head() == ledger.head()
    assert ledger.head().entries == 3


def test_a_stored_reply_is_sent_again_and_never_computed_again(tmp_path: Path) -> None:
    assert play(make(tmp_path), 1, reply=b"first") == b"first"
    ledger = make(tmp_path)
    assert play(ledger, 1, reply=b"second") == b"first"
    assert ledger.spends("utterance") == [STEPS]
    with ledger.round("run", 1) as entry:
        with pytest.raises(LedgerError, match=r"round 1 of run run has its steps in .*site.jsonl; they are not spent"):
            entry.reserve(STEPS)
        with pytest.raises(LedgerError, match=r"round 1 of run run is not reserved .* nothing may be released"):
            entry.store(b"second")
    assert play(ledger, 1) == b"first"


def test_the_same_round_of_another_run_counts_by_itself(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    make(tmp_path, "other-1")  # a name that could be taken for a round's
    assert play(ledger, 1, reply=b"a") == b"a"
    assert play(ledger, 1, "other-1", b"b") == b"b"
    assert play(ledger, 7, reply=b"c") == b"c"  # rounds may be skipped
    assert (play(ledger, 1), play(ledger, 1, "other-1"), play(ledger, 7)) == (b"a", b"b", b"c")
    assert len(ledger.spends("utterance")) == 3
    assert ledger.spends("utterance", "run") == [STEPS, STEPS]
    assert ledger.spends("utterance", "none") == []


def test_steps_of_a_coarser_unit_count_in_a_budget_with_half_their_noise(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    play(ledger, 1)
    ledger.begin("people", {"unit": "speaker", "sample_rate": 1.0, "noise_multiplier": 5.0, "delta": 1e-5})
    person = Spend(unit="speaker", sample_rate=1.0, noise_multiplier=5.0, steps=1)
    recording = Spend(unit="utterance", sample_rate=1.0, noise_multiplier=2.5, steps=1)
    exact = Filter(1.0, 1e-5, "utterance").epsilon([STEPS, recording])
    order = Filter(exact, 1e-5, "utterance").order_of([STEPS])
    exact = Filter(exact, 1e-5, "utterance", order).epsilon([STEPS, recording])
    with ledger.round("people", 1) as entry:
        with pytest.raises(BudgetSpent, match=r"would pass the budget of ε = .* for each utterance"):
            entry.reserve(person, Filter(exact * 0.999, 1e-5, "utterance", order))
        entry.reserve(person, Filter(exact * 1.001, 1e-5, "utterance", order))
        entry.store(b"model")
    assert ledger.spends("utterance") == [STEPS, recording]
    assert ledger.spends("utterance", "people") == [recording]


def test_steps_of_a_finer_unit_bound_nothing_of_a_coarser_one(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    play(ledger, 1)
    assert epsilon_rdp(ledger.spends("utterance"), 1e-5) < math.inf
    for unit in ("speaker", "site"):
        assert epsilon_rdp(ledger.spends(unit), 1e-5) == epsilon_prv(ledger.spends(unit), 1e-5) == math.inf
    assert epsilon_rdp(ledger.spends("speaker", "none"), 1e-5) == 0.0


def test_what_fails_before_it_is_stored_does_not_count(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    fail(ledger, 1)
    assert kinds(ledger) == ["begin", "reserve", "void"]
    assert ledger.spends("utterance") == []
    with ledger.round("run", 1) as entry:
        entry.reserve(STEPS)
    assert kinds(ledger)[3:] == ["reserve", "void"]
    play(ledger, 1)
    assert ledger.spends("utterance") == [STEPS]


def test_what_fails_after_it_is_stored_counts(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    fail(ledger, 1, reply=b"weights")
    assert ledger.spends("utterance") == [STEPS]
    assert play(ledger, 1) == b"weights"


# Terms


def test_a_run_keeps_the_terms_that_it_began_with(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    assert ledger.terms("run") == TERMS
    assert ledger.terms("other") is None
    assert ledger.begin("run", {**TERMS, "noise_multiplier": 0.1}) == TERMS
    assert Ledger(ledger.path).begin("run", {**TERMS, "delta": 0.1}) == TERMS
    assert kinds(ledger) == ["begin"]
    assert ledger.begin("other", {**TERMS, "more": [1, None]})["more"] == [1, None]


def test_a_run_may_begin_within_its_round(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "site.jsonl", timeout=1)
    with ledger.round("run", 1) as entry:
        assert ledger.terms("run") is None
        ledger.begin("run", TERMS)
        assert ledger.terms("run") == TERMS
        entry.reserve(STEPS)
        assert ledger.spends("utterance") == [STEPS]
        entry.store(b"x")
    assert kinds(ledger) == ["begin", "reserve", "store"]


@pytest.mark.parametrize("run", ["", "../up", "a/b", ".hidden", "a" * 65, "a\n", "a b", "ü"])
def test_a_runs_name_is_fit_for_a_file(tmp_path: Path, run: str) -> None:
    ledger = Ledger(tmp_path / "site.jsonl")
    with pytest.raises(UsageError, match=r"the run is named .* expected up to 64 letters, digits"):
        ledger.begin(run, TERMS)
    with pytest.raises(LedgerError, match="has not begun"), ledger.round(run, 1) as entry:
        entry.reserve(STEPS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site.jsonl"]


def test_a_rounds_number_is_not_negative(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="round is -1, expected 0 to"), make(tmp_path).round("run", -1):
        pytest.fail("entered")


def test_terms_that_lack_something(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the terms of run run lack sample_rate, delta"):
        Ledger(tmp_path / "site.jsonl").begin("run", {"unit": "utterance", "noise_multiplier": 1.0})


def test_steps_follow_the_terms(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    for other in (SITE, Spend(unit="utterance", sample_rate=0.1, noise_multiplier=0.5, steps=10)):
        with ledger.round("run", 1) as entry, pytest.raises(LedgerError, match=r"run run began with .* cannot go on"):
            entry.reserve(other)
    with ledger.round("new", 1) as entry, pytest.raises(LedgerError, match=r"run new has not begun in .* fixed first"):
        entry.reserve(STEPS)
    assert kinds(ledger) == ["begin"]


def test_a_run_spends_no_more_than_it_planned(tmp_path: Path) -> None:
    ledger = make(tmp_path, rounds=2, steps_per_round=10)
    play(ledger, 1)
    fail(ledger, 2)
    play(ledger, 2)
    with pytest.raises(BudgetSpent, match="round 3 of run run is refused: 20 of the run's 20 planned steps are spent"):
        play(ledger, 3)
    make(tmp_path, "other")
    play(ledger, 3, "other")
    assert len(ledger.spends("utterance")) == 3


# Budgets


def test_a_budget_stops_before_the_step_that_would_pass_it(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    budget = Filter(epsilon_rdp([STEPS] * 3, 1e-5), 1e-5)
    done = 0
    for number in range(1, 6):
        try:
            with ledger.round("run", number) as entry:
                entry.reserve(STEPS, budget)
                entry.store(b"x")
                done += 1
        except BudgetSpent as refused:
            assert "is refused: it would pass the budget of ε = " in str(refused)  # noqa: PT017 - for some rounds only
    assert done == 3
    assert kinds(ledger)[-2:] == ["refuse", "refuse"]
    assert ledger.refused("run")
    assert not ledger.refused("other")
    assert ledger.spends("utterance") == [STEPS] * 3


def test_a_voided_round_is_no_part_of_the_budget(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    budget = Filter(epsilon_rdp([STEPS], 1e-5), 1e-5)
    for _ in range(3):
        fail(ledger, 1, budget)
    with ledger.round("run", 2) as entry:
        entry.reserve(STEPS, budget)
        entry.store(b"x")
    with ledger.round("run", 1) as entry, pytest.raises(BudgetSpent):
        entry.reserve(STEPS, budget)


# Fails closed


def test_lines_are_plain_json(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    play(ledger, 1)
    assert [json.loads(line)["kind"] for line in ledger.path.read_text().splitlines()] == ["begin", "reserve", "store"]


def test_each_site_has_a_ledger_of_its_own_whatever_it_is_called(tmp_path: Path) -> None:
    names = ("st/mary", "st%2Fmary", "..", "a b")
    paths = [Ledger.of_site(tmp_path, name).path for name in names]
    assert {path.parent for path in paths} == {tmp_path}
    assert len(set(paths)) == len(names)
    assert paths[0].name == "st%2Fmary.jsonl"
