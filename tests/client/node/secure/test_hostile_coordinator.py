"""What a coordinator of bad will may try, each refused by a node, or noise; never one site's update."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.node.gate.answers import Refused
from common import protocol
from common.errors import FederationError
from common.secure.fixed_point import STEP
from common.secure.pair_masks import mask_of, new_key, self_seed
from common.secure.roster import Roster
from common.secure.round_terms import RoundTerms
from common.secure.secret_shares import combine
from tests.client.node.secure.adding import (
    MODEL,
    Parties,
    gathered,
    identity,
    parties,
    public,
    roster_of,
    seeded,
    sent,
    terms,
    told,
    updates,
)

OTHERS = {
    "rate": terms(rate=0.2),
    "model": terms(shift=1.5),
    "scaling": terms(arrays={protocol.ARRAYS: {"w": MODEL + np.float32(1)}, protocol.SCALING: {"mean": MODEL + 1}}),
    "message": terms(asked={protocol.ROUND: 1, protocol.PROXIMAL_MU: 0.1}),
    "bundle": terms(bundle="cd" * 32),
    "pass": terms(refit=True),
}


@pytest.fixture
def four(tmp_path: Path) -> Parties:
    return parties(tmp_path, 4)


@pytest.mark.parametrize("what", OTHERS)
def test_who_tells_one_site_something_else_gets_noise(tmp_path: Path, what: str) -> None:
    four = parties(tmp_path, 4, seed=what)
    roster, whole, victim = roster_of(four), updates(four), "site-03"
    asked, other = terms(), OTHERS[what]
    came = sent({name: node for name, node in four.items() if name != victim}, asked, roster, whole)
    came |= sent({victim: four[victim]}, other, roster, whole)
    with pytest.raises(FederationError, match="site-03 masked on other terms than it was sent"):
        gathered(asked, roster, came.values())

    forged = [replace(update, context=asked.context(roster.digest).hex()) for update in came.values()]
    openings = gathered(asked, roster, forged).openings()
    for node in four.values():  # what was sealed on other terms opens for nobody
        with pytest.raises(FederationError, match=r"is not what site-0. sealed for site-0. in this round"):
            node.opener.tell(openings[node.site.name])


def test_even_with_all_self_masks_in_hand_two_models_are_noise(tmp_path: Path) -> None:
    four = parties(tmp_path, 4, seed="drawn")
    roster, entries = roster_of(four), 20_000
    whole = {name: np.full(entries, 0.5) for name in four}
    came = sent({name: four[name] for name in sorted(four)[:3]}, terms(), roster, whole)
    came |= sent({"site-03": four["site-03"]}, OTHERS["model"], roster, whole)
    found = sum((update.words for update in came.values()), start=np.zeros(entries, np.uint32))
    for name in four:  # the coordinator knows what no rule of a node lets it know
        again = seeded(("drawn", name))
        again(32)
        found -= mask_of(self_seed(again(16)), entries)
    assert (found.view(np.int32) * STEP).std() == pytest.approx(8 / 12**0.5, rel=0.03)  # even over all words


def test_two_totals_are_refused(four: Parties) -> None:
    roster = roster_of(four)
    with pytest.raises(Refused, match="the roster says 283 examples in all, its sites' counts come to 282"):
        four["site-00"].rounds.reserve(terms(), replace(roster, examples=roster.examples + 1))
    with pytest.raises(Refused, match="the roster says 0 validation in all, its sites' counts come to 26"):
        four["site-00"].rounds.reserve(terms(), replace(roster, validation=0))


def test_a_count_is_its_sites_own(four: Parties) -> None:
    roster = roster_of(four)
    first, *others = roster.entries
    changed = Roster.of([replace(first, examples=1), *others])
    with pytest.raises(Refused, match="site-00's entry in the roster is not signed for this run"):
        four["site-01"].rounds.reserve(terms(), changed)
    other = replace(first, examples=1).signed("run-a", identity("site-00"))
    with pytest.raises(Refused, match="the roster says 1 and 5 recordings of this site, it said 60 and 5"):
        four["site-00"].rounds.reserve(terms(), Roster.of([other, *others]))
    with pytest.raises(Refused, match="this site said 60 and 5 recordings in run run-a, now it has 61 and 5"):
        four["site-00"].site.introduce("run-a", examples=61, validation=5)


def test_keys_of_the_coordinators_own_are_refused(four: Parties) -> None:
    roster, node = roster_of(four), four["site-00"]
    *others, last = roster.entries
    theirs = new_key().public.hex()

    def refused(entries: list[object], why: str, run: str = "run-a") -> None:
        with pytest.raises(Refused, match=why):
            node.rounds.reserve(terms(run=run), Roster.of(entries))  # type: ignore[arg-type]

    refused([*others, replace(last, key=theirs)], "site-03's entry in the roster is not signed")
    made_up = replace(last, site="site-99", key=theirs, identity=public("nobody")).signed("run-a", identity("nobody"))
    refused([*others, made_up], "site-99 is in the roster and is no peer that this site's roster.toml names")
    taken = replace(last, key=theirs, identity=public("nobody")).signed("run-a", identity("nobody"))
    refused([*others, taken], "site-03 is in the roster with another registered key than this site's roster.toml has")
    twice = replace(last, site="site-04").signed("run-a", identity("site-03"))
    refused([*roster.entries, twice], "the roster has one registered key 2 times")
    refused([*roster.entries, last], "the roster names site-03 2 times")
    weak = replace(last, key="00" * 32).signed("run-a", identity("site-03"))
    with pytest.raises(FederationError, match="no usable X25519 key"):
        node.rounds.reserve(terms(), Roster.of([*others, weak]))


def test_an_entry_of_another_run_is_refused(four: Parties) -> None:
    roster_of(four)
    earlier = roster_of(four, "run-b")
    with pytest.raises(Refused, match="site-00's entry in the roster is not signed for this run"):
        four["site-00"].rounds.reserve(terms(), Roster.of(earlier.entries))


def test_too_few_or_too_large_sites_are_refused(tmp_path: Path) -> None:
    four = parties(tmp_path, 4, least_sites=4, largest_share=0.4)
    roster = roster_of(four)
    with pytest.raises(Refused, match=r"a sum is of 3 sites, the policy asks for 4 \(aggregation.least_sites\)"):
        four["site-00"].rounds.reserve(terms(), Roster.of(roster.entries[:3]))
    *others, last = roster.entries
    large = replace(last, examples=500).signed("run-a", identity("site-03"))
    with pytest.raises(Refused, match=r"site-03 has 0.713 of a sum's recordings, the policy allows 0.4"):
        four["site-00"].rounds.reserve(terms(), Roster.of([*others, large]))
    with pytest.raises(Refused, match="the roster does not name this site, site-00"):
        four["site-00"].rounds.reserve(terms(), Roster.of(roster.entries[1:]))


def test_the_same_model_with_another_roster_is_refused_in_any_round_of_any_run(tmp_path: Path) -> None:
    five = parties(tmp_path, 5)
    roster, node = roster_of(five), five["site-00"]
    node.rounds.reserve(terms(1), roster)
    fewer = Roster.of(roster.entries[:4])
    for asked in (terms(2, shift=1), terms(1)):
        with pytest.raises(Refused):
            node.rounds.reserve(asked, fewer)
    fewer = Roster.of(roster_of(five, "run-b").entries[:4])
    with pytest.raises(Refused, match="this very model was trained with another roster before"):
        node.restarted().rounds.reserve(terms(7, shift=1, run="run-b"), fewer)
    node.rounds.reserve(terms(2), Roster.of(roster.entries[:4]))  # another model may have another


def test_a_model_comes_once_in_a_run_but_for_the_initial_one_as_the_second_passs_first(four: Parties) -> None:
    roster, rounds = roster_of(four), four["site-00"].rounds
    for number in (1, 2):
        rounds.reserve(terms(number), roster)
    with pytest.raises(Refused, match="the model of round 3 was trained in round 2 of the same run before"):
        rounds.reserve(terms(3, shift=2), roster)
    with pytest.raises(Refused, match="the model of round 3 was trained in round 1"):
        rounds.reserve(terms(3, shift=1), roster)
    with pytest.raises(Refused, match="the model of round 3 was trained in round 2"):
        rounds.reserve(terms(3, shift=2, refit=True), roster)
    rounds.reserve(terms(3, shift=1, refit=True), roster)
    with pytest.raises(Refused, match="the model of round 4 was trained in round 3"):
        rounds.reserve(terms(4, shift=1, refit=True), roster)


@pytest.mark.parametrize("run", ["run-a", "run-b"])
def test_a_model_that_comes_again_is_opened_for_the_same_sites(four: Parties, run: str) -> None:
    """Else the difference of the two sums is the update of who is missing in one."""
    roster, whole = roster_of(four), updates(four)
    first = gathered(terms(), roster, sent(four, terms(), roster, whole).values())
    told(first, four)
    again = roster_of(four, run)
    asked = terms(9, shift=1, refit=True, run=run)
    three = {name: node for name, node in four.items() if name != "site-03"}
    second = gathered(asked, again, sent(three, asked, again, whole).values())
    with pytest.raises(Refused, match="this very model was opened for site-00, site-01, site-02, site-03 before"):
        told(second, three)


def test_a_round_is_opened_once(four: Parties) -> None:
    roster, asked, whole = roster_of(four), terms(), updates(four)
    came = sent(four, asked, roster, whole)
    found = gathered(asked, roster, came.values())
    first = told(found, four)
    again = {name: node.restarted().opener.tell(found.openings()[name]) for name, node in four.items()}
    assert again == first
    fewer = gathered(asked, roster, list(came.values())[1:])
    for node in four.values():
        with pytest.raises(Refused, match="round 1 of run run-a is opened for other sites: site-00, site-01"):
            node.restarted().opener.vote(fewer.openings()[node.site.name])


def test_four_sites_told_four_lists_open_nothing(four: Parties) -> None:
    """Each would help to open three of four, and what they told would open two sums of two."""
    roster, asked = roster_of(four), terms()
    came = sent(four, asked, roster, updates(four))
    left_out = {"site-00": "site-03", "site-01": "site-02", "site-02": "site-00", "site-03": "site-01"}
    votes = {}
    openings = {}
    for name, gone in left_out.items():
        some = gathered(asked, roster, [update for update in came.values() if update.site != gone])
        openings[name] = some.openings()[name]
        votes[name] = four[name].opener.vote(openings[name])
    for name, node in four.items():
        with pytest.raises(Refused, match=r"1 sites signed for a sum without site-0., expected 3 before it is opened"):
            node.opener.tell(replace(openings[name], votes=votes))


def test_a_site_is_never_told_as_there_and_as_gone(four: Parties) -> None:
    roster, asked = roster_of(four), terms()
    three = {name: node for name, node in four.items() if name != "site-03"}
    came = sent(four, asked, roster, updates(four))
    found = gathered(asked, roster, [came[name] for name in three])
    for answer in told(found, three).values():
        assert set(answer.shares) == set(three)
        assert set(answer.seeds) == {"site-03"}


def test_one_sites_own_word_does_not_open_its_mask(four: Parties) -> None:
    roster, asked = roster_of(four), terms()
    found = gathered(asked, roster, sent(four, asked, roster, updates(four)).values())
    answer = told(found, four)["site-00"]
    with pytest.raises(FederationError, match="there are 1 shares of a mask, expected 3 of 4"):
        combine({0: answer.shares["site-00"]}, 4)


def test_no_more_is_opened_than_was_asked_for_and_sent(four: Parties) -> None:
    roster, asked = roster_of(four), terms()
    came = sent({name: four[name] for name in sorted(four)[:3]}, asked, roster, updates(four))
    late, node = four["site-03"], four["site-00"]
    late.rounds.reserve(asked, roster)
    forged = gathered(asked, roster, [*came.values(), replace(came["site-00"], site="site-03")]).openings()
    with pytest.raises(Refused, match="this site has sent nothing in round 1 of run run-a"):
        late.opener.tell(forged["site-03"])
    with pytest.raises(Refused, match="round 2 of run run-a was not reserved with this roster"):
        node.opener.tell(replace(forged["site-00"], number=2))
    with pytest.raises(Refused, match="2 sites, the policy asks for 3"):
        node.opener.tell(replace(forged["site-00"], sites=("site-00", "site-01")))
    with pytest.raises(Refused, match="expected sites of the roster, each once"):
        node.opener.tell(replace(forged["site-00"], sites=("site-00", "site-01", "site-01")))
    with pytest.raises(Refused, match="there are 3 shares to open a sum of 4, expected one each"):
        node.opener.tell(replace(forged["site-00"], shares=dict(list(forged["site-00"].shares.items())[:3])))


def test_five_of_seven_may_be_opened_and_four_not(tmp_path: Path) -> None:
    seven = parties(tmp_path, 7)
    roster, asked = roster_of(seven), terms()
    found = gathered(asked, roster, sent(seven, asked, roster, updates(seven)).values())
    opening = found.openings()["site-00"]
    with pytest.raises(Refused, match="a sum of 4 of 7 sites is asked for, expected 5 or more"):
        seven["site-00"].opener.vote(replace(opening, sites=opening.sites[:4]))
    seven["site-00"].opener.vote(replace(opening, sites=opening.sites[:5]))


def test_who_is_left_may_not_be_one_site_and_little_else(tmp_path: Path) -> None:
    four = parties(tmp_path, 4, largest_share=0.35)
    roster, asked = roster_of(four), terms()
    found = gathered(asked, roster, sent(four, asked, roster, updates(four)).values())
    opening = found.openings()["site-00"]
    with pytest.raises(Refused, match=r"site-02 has 0.368 of a sum's recordings, the policy allows 0.35"):
        four["site-00"].opener.vote(replace(opening, sites=opening.sites[:3]))


def test_terms_are_of_all_that_was_received_but_how_far_logs_are() -> None:
    own = {protocol.AUDIT_ENTRIES: 7, protocol.AUDIT_HASH: "aa", protocol.LEDGER_ENTRIES: 1, protocol.LEDGER_HASH: "b"}
    theirs = {protocol.SERVER_LOG: "cc", protocol.SERVER_ENTRIES: 9, protocol.SERVER_HASH: "d"}
    assert terms(asked={protocol.ROUND: 1, **own, **theirs}) == terms()
    contexts = {asked.context("roster") for asked in (terms(), *OTHERS.values(), terms(2), terms(run="run-b"))}
    assert len(contexts) == len(OTHERS) + 3
    assert terms().context("roster") != terms().context("other")
    assert isinstance(terms(), RoundTerms)
