"""Any lists of sites told to any node, with a site of bad will at the coordinator's side: one sum opens at most."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.node.gate.answers import Refused
from common.secure.roster import Roster, sign
from common.secure.secret_shares import threshold
from common.secure.sum_opening import MaskedUpdate, Opening, Unmasking, vote_on
from tests.client.node.secure.adding import Parties, gathered, identity, parties, roster_of, sent, terms, updates


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Parties:
    return parties(tmp_path_factory.mktemp("four"), 4)


NAMES = tuple(f"site-0{place}" for place in range(4))
LISTS = st.sampled_from([NAMES, *itertools.combinations(NAMES, 3)])
numbers = itertools.count(1)


def opening(roster: Roster, came: dict[str, MaskedUpdate], site: str, sites: tuple[str, ...], number: int) -> Opening:
    shares = {name: came[name].shares[site] for name in sites}
    return Opening(run="run-a", number=number, roster=roster.text, sites=sites, shares=shares)


def openable(told: dict[str, Unmasking], bad: Collection[str]) -> Iterator[tuple[str, ...]]:
    """The groups of honest sites whose sum follows from what was told, and from all that the bad ones know."""
    honest = [name for name in NAMES if name not in bad]

    def mask_known(site: str) -> bool:
        return len(bad) + sum(site in answer.shares for answer in told.values()) >= threshold(len(NAMES))

    def pair_known(site: str, other: str) -> bool:
        return any(there in told and gone in told[there].seeds for there, gone in ((site, other), (other, site)))

    for size in range(1, len(honest) + 1):
        for group in itertools.combinations(honest, size):
            others = [name for name in honest if name not in group]
            pairs = all(pair_known(site, other) for site in group for other in others)
            if pairs and all(mask_known(site) for site in group):
                yield group


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(asked=st.tuples(LISTS, LISTS, LISTS, LISTS), bad=st.sampled_from([(), ("site-03",)]))
def test_one_sum_opens_at_most(four: Parties, asked: tuple[tuple[str, ...], ...], bad: tuple[str, ...]) -> None:
    roster, number = roster_of(four), next(numbers)
    came = sent(four, terms(number), roster, updates(four))
    context = terms(number).context(roster.digest)
    openings = {site: opening(roster, came, site, sites, number) for site, sites in zip(NAMES, asked, strict=True)}
    votes = {site: four[site].opener.vote(openings[site]) for site in NAMES if site not in bad}
    told = {}
    for site in votes:
        signed = votes | {name: sign(identity(name), vote_on(context, openings[site].sites)) for name in bad}
        try:
            told[site] = four[site].opener.tell(replace(openings[site], votes=signed))
        except Refused:
            continue
    found = list(openable(told, bad))
    assert len(found) <= 1
    assert all(len(group) + len(bad) >= 3 for group in found)
    if len(set(asked)) == 1:
        assert found == [tuple(name for name in asked[0] if name not in bad)]


def test_an_honest_round_opens(four: Parties) -> None:
    roster, number = roster_of(four), next(numbers)
    found = gathered(terms(number), roster, sent(four, terms(number), roster, updates(four)).values())
    told = {name: four[name].opener.tell(asked) for name, asked in found.openings().items()}
    assert list(openable(told, ())) == [NAMES]
