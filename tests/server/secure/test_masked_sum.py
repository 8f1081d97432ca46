from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from common.errors import FederationError
from server.secure.masked_sum import MaskedSum
from tests.client.node.secure.adding import gathered, parties, plain_words, roster_of, sent, terms, told, updates


def test_the_order_in_which_sites_answer_changes_no_bit(tmp_path: Path) -> None:
    sites = parties(tmp_path, 4)
    roster, asked, whole = roster_of(sites), terms(), updates(sites)
    came = list(sent(sites, asked, roster, whole).values())
    answers = told(gathered(asked, roster, came), sites)
    for order in (came, came[::-1]):
        found = gathered(asked, roster, order).open(dict(reversed(answers.items())))
        np.testing.assert_array_equal(found, plain_words(roster, whole, roster.sites))


def test_words_that_are_no_part_of_the_sum_are_left_out(tmp_path: Path) -> None:
    sites = parties(tmp_path, 4)
    roster, asked = roster_of(sites), terms()
    came = sent(sites, asked, roster, updates(sites))
    found = gathered(asked, roster, list(came.values())[:3])
    last = came["site-03"]
    for wrong, why in (
        (came["site-00"], "site-00 is not in the round's roster, or sent twice"),
        (replace(last, site="site-99"), "site-99 is not in the round's roster"),
        (replace(last, context="00" * 32), "site-03 masked on other terms than it was sent"),
        (replace(last, words=last.words[1:]), "site-03 sent 39 words, 4 shares; it is left out"),
        (replace(last, shares={}), "site-03 sent 40 words, 0 shares; it is left out"),
    ):
        with pytest.raises(FederationError, match=why):
            found.add(wrong)
    assert (found.sites, found.missing, found.needs_votes) == (("site-00", "site-01", "site-02"), ("site-03",), True)
    found.add(last)
    assert not found.needs_votes


def test_a_site_that_tells_or_hands_out_wrong_shares_is_noticed(tmp_path: Path) -> None:
    sites = parties(tmp_path, 3)
    roster, asked = roster_of(sites), terms()
    found = gathered(asked, roster, sent(sites, asked, roster, updates(sites)).values())
    answers = told(found, sites)
    answers["site-02"] = replace(answers["site-02"], shares={**answers["site-02"].shares, "site-01": bytes(16)})
    with pytest.raises(FederationError, match="the shares of site-01's mask give another than site-01 drew"):
        found.open(answers)


def test_votes_of_too_few_are_not_passed_on(tmp_path: Path) -> None:
    sites = parties(tmp_path, 4)
    roster, asked = roster_of(sites), terms()
    three = {name: node for name, node in sites.items() if name != "site-03"}
    found = gathered(asked, roster, sent(three, asked, roster, updates(three)).values())
    votes = {name: node.opener.vote(found.openings()[name]) for name, node in three.items()}
    with pytest.raises(FederationError, match="2 sites signed for the same sum, 3 are needed"):
        found.openings({**votes, "site-00": votes["site-01"]})
    answers = {name: three[name].opener.tell(found.openings(votes)[name]) for name in three}
    answers["site-01"] = replace(answers["site-01"], seeds={})
    with pytest.raises(FederationError, match="site-01 did not tell its seed with site-03"):
        found.open(answers)


def test_a_sum_of_nothing_says_who_is_missing(tmp_path: Path) -> None:
    roster = roster_of(parties(tmp_path, 3))
    with pytest.raises(FederationError, match=r"0 of 3 sites sent masked words, 3 are needed.*missing: site-00, s"):
        MaskedSum(roster, "run-a", 1, bytes(32)).openings()
