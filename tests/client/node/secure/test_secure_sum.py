from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import protocol
from common.errors import FederationError
from common.secure.fixed_point import mean_of
from common.secure.model_update import moved, update_of
from common.secure.round_words import Beside, RoundLayout
from common.secure.secret_shares import threshold
from tests.client.node.secure.adding import (
    ENTRIES,
    LAYOUT,
    Parties,
    gathered,
    parties,
    plain_words,
    roster_of,
    sent,
    terms,
    told,
    updates,
)

Model = dict[str, np.ndarray[Any, Any]]


def without(sites: Parties, gone: tuple[str, ...]) -> Parties:
    return {name: node for name, node in sites.items() if name not in gone}


def patterns(sites: Parties, *, all_of_them: bool) -> list[tuple[str, ...]]:
    """Who may be missing: every set that leaves a threshold, or one of each size."""
    names = sorted(sites)
    sizes = range(len(names) - threshold(len(names)) + 1)
    return [gone for size in sizes for gone in list(combinations(names, size))[: None if all_of_them else 1]]


@pytest.mark.parametrize("count", [3, 4, 5, 7, *(pytest.param(more, marks=pytest.mark.slow) for more in (6, 8, 9, 10))])
def test_the_sum_is_that_of_the_plain_words_bit_for_bit_whoever_the_threshold_lets_be_missing(
    tmp_path: Path, count: int
) -> None:
    sites = parties(tmp_path, count)
    roster = roster_of(sites)
    gone = patterns(sites, all_of_them=count < 7)
    cases = [(before, ()) for before in gone] + [((), after) for after in gone[1:]]
    for number, (before, after) in enumerate(cases, 1):
        asked, whole = terms(number), updates(sites, number)
        found = gathered(asked, roster, sent(without(sites, before), asked, roster, whole).values())
        words = found.open(told(found, without(sites, (*before, *after))))
        np.testing.assert_array_equal(words, plain_words(roster, whole, found.sites))
        weights = [roster.weight([site], refit=False) for site in found.sites]
        mean = np.average([whole[site] for site in found.sites], axis=0, weights=weights)
        np.testing.assert_allclose(found.read(words, LAYOUT, refit=False)[0], mean, rtol=0, atol=2e-9 * count)


def test_below_the_threshold_nothing_opens(tmp_path: Path) -> None:
    sites = parties(tmp_path, 4)
    roster, asked, whole = roster_of(sites), terms(), updates(sites)
    all_sent = sent(sites, asked, roster, whole)
    two = gathered(asked, roster, list(all_sent.values())[:2])
    with pytest.raises(FederationError, match="2 of 4 sites sent masked words, 3 are needed"):
        two.openings()
    found = gathered(asked, roster, all_sent.values())
    answers = told(found, without(sites, ("site-00", "site-03")))
    with pytest.raises(FederationError, match="2 of 4 sites told their share of site-00's mask, 3 are needed"):
        found.open(answers)


def test_one_missing_before_and_one_after_waits_for_the_one_that_sent(tmp_path: Path) -> None:
    sites = parties(tmp_path, 5)
    roster, asked, whole = roster_of(sites), terms(), updates(sites)
    found = gathered(asked, roster, sent(without(sites, ("site-04",)), asked, roster, whole).values())
    sites["site-04"].rounds.reserve(asked, roster)  # and its process ended there
    votes = {name: sites[name].opener.vote(found.openings()[name]) for name in found.sites}
    openings = found.openings(votes)
    answers = {name: sites[name].opener.tell(openings[name]) for name in found.sites[1:]}
    answers["site-04"] = sites["site-04"].opener.tell(openings["site-04"])  # can help: it has shares
    assert not answers["site-04"].seeds
    with pytest.raises(FederationError, match=r"site-04 sent nothing, and site-00 alone can take off"):
        found.open(answers)
    answers["site-00"] = sites["site-00"].restarted().opener.tell(openings["site-00"])
    np.testing.assert_array_equal(found.open(answers), plain_words(roster, whole, found.sites))


def test_the_second_pass_weighs_by_its_own_counts(tmp_path: Path) -> None:
    sites = parties(tmp_path, 3)
    roster, asked, whole = roster_of(sites), terms(refit=True), updates(sites)
    found = gathered(asked, roster, sent(sites, asked, roster, whole).values())
    words = found.open(told(found, sites))
    np.testing.assert_array_equal(words, plain_words(roster, whole, found.sites, refit=True))
    mean = np.average(list(whole.values()), axis=0, weights=[60 + 5, 67 + 6, 74 + 7])
    np.testing.assert_allclose(found.read(words, LAYOUT, refit=True)[0], mean, rtol=0, atol=1e-8)


def test_words_tell_nothing_by_themselves(tmp_path: Path) -> None:
    """Bytes of masked words are even, and words uncorrelated with the update and with each other; drawn from a seed."""
    count, entries = 4, 60_000
    sites = parties(tmp_path, count, seed="uniform")
    roster, asked = roster_of(sites), terms()
    whole = {name: np.full(entries, 0.01 * place) for place, name in enumerate(sites)}
    words = [update.words for update in sent(sites, asked, roster, whole).values()]
    for each in [*words, words[0] + words[1] + words[2]]:  # of three of four, too
        found = np.bincount(each.view(np.uint8), minlength=256)
        expected = 4 * entries / 256
        chi_square = float(((found - expected) ** 2 / expected).sum())
        assert chi_square < 340  # 255 degrees of freedom: p > 3e-4 for the seed that was drawn
    assert np.abs(np.corrcoef(words) - np.eye(count)).max() < 5 / entries**0.5
    assert mean_of(words[0], 1, 1).std() == pytest.approx(8 / 12**0.5, rel=0.02)


def test_updates_of_nothing_are_masked_like_others(tmp_path: Path) -> None:
    sites = parties(tmp_path, 3, seed=1)
    roster, asked = roster_of(sites), terms()
    words = sent(sites, asked, roster, {name: np.zeros(1000) for name in sites})
    assert all(np.count_nonzero(update.words == 0) <= 1 for update in words.values())


def test_losses_and_counts_ride_with_the_words(tmp_path: Path) -> None:
    sites = parties(tmp_path, 4)
    roster, asked, whole = roster_of(sites), terms(), updates(sites)
    layout = RoundLayout(entries=ENTRIES, means=("loss",), counts={"classes": 3})
    came = []
    for place, (name, node) in enumerate(sites.items()):
        node.rounds.reserve(asked, roster)
        beside = Beside(means={"loss": 1.0 + place}, counts={"classes": [place, 2 * place, 7]})
        came.append(node.rounds.mask(asked, roster, whole[name], beside))
    found = gathered(asked, roster, came)
    mean, beside = found.read(found.open(told(found, sites)), layout, refit=False)
    weights = [60, 67, 74, 81]
    np.testing.assert_allclose(mean, np.average(list(whole.values()), axis=0, weights=weights), rtol=0, atol=1e-8)
    assert beside.means["loss"] == pytest.approx(np.average([1, 2, 3, 4], weights=weights), abs=1e-6)
    assert list(beside.counts["classes"]) == [6, 12, 28]


def trained(model: Model, name: str) -> Model:
    """A site's local steps of least squares on its own made-up data."""
    generator = np.random.default_rng(list(name.encode()))
    inputs, target = generator.normal(size=(30, 6)), generator.normal(size=(30, 1))
    w, b = model["w"].astype(np.float64), model["b"].astype(np.float64)
    for _ in range(5):
        fault = inputs @ w + b - target
        w, b = w - 0.1 * inputs.T @ fault / 30, b - 0.1 * fault.mean(0)
    return {"w": w.astype(np.float32), "b": b.astype(np.float32)}


def test_three_rounds_come_to_what_a_plain_average_comes_to(tmp_path: Path) -> None:
    sites = parties(tmp_path, 4)
    roster = roster_of(sites)
    weights = [roster.weight([name], refit=False) for name in sites]
    masked: Model = {"w": np.zeros((6, 1), np.float32), "b": np.zeros(1, np.float32)}
    plain, layout = masked, RoundLayout(entries=7)
    for number in (1, 2, 3):
        asked = terms(number, arrays={protocol.ARRAYS: masked})
        whole = {name: update_of(trained(masked, name), masked) for name in sites}
        found = gathered(asked, roster, sent(sites, asked, roster, whole).values())
        masked = moved(masked, found.read(found.open(told(found, sites)), layout, refit=False)[0])
        new = [trained(plain, name) for name in sites]
        plain = {key: np.average([each[key] for each in new], axis=0, weights=weights) for key in ("w", "b")}
    for key, array in masked.items():
        np.testing.assert_allclose(array, plain[key], rtol=0, atol=1e-6)
    assert np.abs(masked["w"]).max() > 0.05
