from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.node.gate.answers import Refused
from common.errors import ChainError, FedserError, LedgerError, UsageError
from common.secure.fixed_point import MOST
from tests.client.node.secure.adding import (
    ENTRIES,
    Party,
    gathered,
    parties,
    party,
    plain_words,
    roster_of,
    sent,
    terms,
    told,
    updates,
)


def journal(node: Party) -> Path:
    return node.site.folder / "sums.jsonl"


def kinds(node: Party) -> list[str]:
    return [line["kind"] for line in node.site.journal.read()]


def test_asked_again_a_round_is_the_same_bytes_whatever_was_trained_since(tmp_path: Path) -> None:
    sites = parties(tmp_path, 3)
    roster, asked, whole = roster_of(sites), terms(), updates(sites)
    first = {name: update.packed() for name, update in sent(sites, asked, roster, whole).items()}
    restarted = {name: node.restarted() for name, node in sites.items()}
    again = roster_of(restarted)
    assert again.digest == roster.digest  # though each signature is another
    later = sent(restarted, asked, again, updates(sites, seed=1))
    assert {name: update.packed() for name, update in later.items()} == first
    assert kinds(sites["site-00"]) == ["bound", "masked"]


def test_what_leaves_is_on_the_disk_before_it_does(tmp_path: Path) -> None:
    """Each step of a round alone, as a kill would leave it, and the round gone on with by a new process."""
    sites = parties(tmp_path, 3)
    roster, asked, whole = roster_of(sites), terms(), updates(sites)
    node = sites["site-00"]
    with pytest.raises(Refused, match="round 1 of run run-a was not reserved on these terms"):
        node.rounds.mask(asked, roster, whole["site-00"])
    node.rounds.reserve(asked, roster)
    assert kinds(node) == ["bound"]
    reserved = journal(node).read_bytes()
    lost = node.restarted().rounds.mask(asked, roster, whole["site-00"])
    journal(node).write_bytes(reserved)  # killed after the file was written, before the line: nothing was sent
    came = sent({name: each.restarted() for name, each in sites.items()}, asked, roster, whole)
    assert not np.array_equal(came["site-00"].words, lost.words)
    found = gathered(asked, roster, came.values())
    answers = told(found, {name: each.restarted() for name, each in sites.items()})
    np.testing.assert_array_equal(found.open(answers), plain_words(roster, whole, found.sites))
    assert kinds(node) == ["bound", "masked", "chosen"]


@contextlib.contextmanager
def full_disk(node: Party) -> Iterator[None]:
    """No file grows beyond the journal's size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (journal(node).stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_cannot_be_noted_is_not_told(tmp_path: Path) -> None:
    sites = parties(tmp_path, 3)
    roster, asked, whole = roster_of(sites), terms(), updates(sites)
    node, noted = sites["site-00"], r"cannot be written: File too large"
    node.rounds.reserve(asked, roster)
    with full_disk(node), pytest.raises(FedserError, match=noted):
        node.rounds.mask(asked, roster, whole["site-00"])
    found = gathered(asked, roster, sent(sites, asked, roster, whole).values())
    with full_disk(node), pytest.raises(FedserError, match=noted):
        node.rounds.reserve(terms(2), roster)
    for step in (node.opener.vote, node.opener.tell):
        with full_disk(node), pytest.raises(FedserError, match=noted):
            step(found.openings()["site-00"])
    np.testing.assert_array_equal(found.open(told(found, sites)), plain_words(roster, whole, found.sites))


def test_the_last_two_rounds_of_the_last_two_runs_are_kept(tmp_path: Path) -> None:
    sites = parties(tmp_path, 3)
    node, name = sites["site-00"], "site-00"
    for run in ("run-a", "run-b", "run-c"):
        roster = roster_of(sites, run)
        for number in (1, 2, 3):
            asked = terms(number, run=run)
            node.rounds.reserve(asked, roster)
            node.rounds.mask(asked, roster, updates(sites)[name])
    node.rounds.reserve(terms(4, run="run-c"), roster)
    kept = sorted(path.name.partition(".")[0] for path in (node.site.folder / "masked").iterdir())
    assert kept == ["run-b-2", "run-b-3", "run-c-3"]
    with pytest.raises(LedgerError, match="round 1 of run run-c was released before and is not computed twice"):
        node.rounds.mask(terms(1, run="run-c"), roster, updates(sites)[name])


def test_of_a_run_that_is_over_nothing_is_left_that_opens_anything(tmp_path: Path) -> None:
    sites = parties(tmp_path, 3)
    roster, asked = roster_of(sites), terms()
    found = gathered(asked, roster, sent(sites, asked, roster, updates(sites)).values())
    node = sites["site-00"]
    key = node.site.folder / "keys" / "run-a.json"
    assert key.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        node.rounds.end("run-a")
    assert not key.exists()
    assert list((node.site.folder / "masked").iterdir()) == []
    for refused in (
        lambda: node.opener.tell(found.openings()["site-00"]),
        lambda: node.rounds.reserve(asked, roster),
        lambda: node.rounds.mask(asked, roster, np.zeros(ENTRIES)),
        lambda: node.restarted().site.introduce("run-a", examples=60, validation=5),
    ):
        with pytest.raises(Refused, match="run run-a is over at this site"):
            refused()
    assert kinds(node) == ["bound", "masked", "ended"]


def test_a_run_key_that_is_damaged_is_said_and_not_made_anew(tmp_path: Path) -> None:
    node = parties(tmp_path, 3)["site-00"]
    node.site.introduce("run-a", examples=60, validation=5)
    (node.site.folder / "keys" / "run-a.json").write_text("{}")
    with pytest.raises(FedserError, match=r"run-a.json cannot be read \(KeyError\); put it back, or begin a new run"):
        node.restarted().site.introduce("run-a", examples=60, validation=5)


def test_a_journal_or_a_reply_that_was_edited_shows(tmp_path: Path) -> None:
    sites = parties(tmp_path, 3)
    roster, asked, node = roster_of(sites), terms(), sites["site-00"]
    sent(sites, asked, roster, updates(sites))
    (stored,) = (node.site.folder / "masked").iterdir()
    content = stored.read_bytes()
    stored.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(LedgerError, match="was damaged or edited since it was stored"):
        node.rounds.mask(asked, roster, np.zeros(ENTRIES))
    journal(node).write_bytes(journal(node).read_bytes().replace(b'"round": 1', b'"round": 2', 1))
    with pytest.raises(ChainError, match="was edited"):
        node.restarted().rounds.reserve(terms(2), roster)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.nan, "the update is empty, or not all of its numbers are finite"),
        (-np.inf, "the update is empty, or not all of its numbers are finite"),
        (-1.5, r"the update's largest entry is 1.5, the policy allows 1 \(aggregation.max_update\)"),
        (0.9, r"the update's norm is 5.69\d*, the policy allows 5 \(aggregation.max_norm\)"),
    ],
)
def test_an_update_beyond_the_sites_own_numbers_is_not_masked(tmp_path: Path, value: float, why: str) -> None:
    sites = parties(tmp_path, 3, max_norm=5.0, max_update=1.0)
    roster, asked, node = roster_of(sites), terms(), sites["site-00"]
    node.rounds.reserve(asked, roster)
    with pytest.raises(Refused, match=why):
        node.rounds.mask(asked, roster, np.full(ENTRIES, value))
    assert kinds(node) == ["bound"]


def test_rules_that_protect_nothing_are_no_rules(tmp_path: Path) -> None:
    for wrong in ({"least_sites": 2}, {"largest_share": 1.2}, {"max_update": 4.0}, {"max_norm": 0.0}):
        with pytest.raises(UsageError, match=f"aggregation.{next(iter(wrong))} is"):
            parties(tmp_path, 3, **wrong)
    assert parties(tmp_path, 3, max_update=MOST)


def test_a_rule_that_changed_between_two_tries_leaves_the_round_what_it_is(tmp_path: Path) -> None:
    sites = parties(tmp_path, 4)
    roster, asked, whole = roster_of(sites), terms(), updates(sites)
    first = sent(sites, asked, roster, whole)
    rules = replace(sites["site-00"].site.rules, least_sites=4)
    stricter = {name: party(replace(node.site, rules=rules)) for name, node in sites.items()}
    again = sent(stricter, asked, roster, whole)
    assert {name: update.packed() for name, update in again.items()} == {
        name: update.packed() for name, update in first.items()
    }
    found = gathered(asked, roster, [update for name, update in again.items() if name != "site-03"])
    with pytest.raises(Refused, match="a sum is of 3 sites, the policy asks for 4"):
        told(found, {name: node for name, node in stricter.items() if name != "site-03"})
