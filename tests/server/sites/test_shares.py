"""What a site's own word is worth: properties over any counts, and the attack that they are for, in figures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.config.settings import Config
from common.data.normalise import Sums
from server.rounds.updates import weights
from server.sites.handshake import Node
from server.sites.shares import Agreement, bounded, pooled

COUNTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**7), min_size=1)


def node(site: str = "a", **more: Any) -> Node:
    own = {"features": 1, "examples": 40, "validation": 8, "test": 12, "speakers": 4, "validation_speakers": 1}
    return Node(id=1, site=site, **{**own, **more})


@given(COUNTS, st.sets(st.sampled_from("abcdefgh")))
def test_no_limited_site_has_more_than_twice_an_equals_share_and_nobody_gains(
    counts: dict[str, int], limited: set[str]
) -> None:
    found = bounded(counts, limited)
    total, sites = sum(found.values()), len(counts)
    assert found.keys() == counts.keys()
    for site, count in found.items():
        assert 1 <= count <= counts[site]
        if site in limited:
            assert count * sites <= 2 * total or sites <= 2
        else:
            assert count == counts[site]


@given(COUNTS, st.sampled_from("abcdefgh"))
def test_a_site_within_its_share_counts_as_it_says(counts: dict[str, int], site: str) -> None:
    total = sum(counts.values())
    if all(count * len(counts) <= 2 * total for count in counts.values()):
        assert bounded(counts, set(counts)) == counts
    assert bounded(counts, set()) == counts


def test_the_share_by_hand() -> None:
    assert bounded({"a": 10, "b": 10, "c": 10**7}, {"c"}) == {"a": 10, "b": 10, "c": 40}  # 40 of 60
    assert bounded({"a": 10, "b": 10, "c": 10, "d": 10**7, "e": 10**6}, {"d", "e"}) == {
        "a": 10,
        "b": 10,
        "c": 10,
        "d": 60,
        "e": 60,  # each 2/5 of 150
    }


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ({}, True),
        ({"examples": 52}, True),  # 52 + 8 + 12 are 72, a fifth more than 60
        ({"examples": 53}, False),
        ({"validation": 21}, False),
        ({"test": 25}, False),
        ({"speakers": 5}, True),
        ({"speakers": 6}, False),
        ({"validation_speakers": 3}, False),
        ({"examples": 10**7}, False),
    ],
)
def test_a_fifth_beyond_what_was_agreed_is_allowed(said: dict[str, Any], fits: bool) -> None:
    why = Agreement(recordings=60, speakers=5).excess(node(**said), speakers_train=False)
    assert (why is None) == fits
    if why:
        told = node(**said)
        assert f"{told.examples + told.validation + told.test} recordings of " in why
        assert "agreed are 60 of 5" in why


def test_where_speakers_are_hidden_they_are_what_a_site_counts() -> None:
    agreed = Agreement(recordings=60, speakers=5)
    assert agreed.excess(node(examples=5), speakers_train=True) is None
    assert agreed.excess(node(examples=40), speakers_train=True) is not None
    assert agreed.unseen(node()) == 1  # 6 at most, and 5 are known


def sums(frames: int, value: float) -> Sums:
    return Sums(
        frames=frames,
        total=torch.tensor([value * frames], dtype=torch.float64),
        square=torch.tensor([(value**2 + 1) * frames], dtype=torch.float64),
    )


def pooled_mean(evil: int, **more: Any) -> float:
    nodes = [node("a", **more), node("b", **more), node("c", **more | ({"limited": True} if more else {}))]
    told = {"a": sums(4000, 1.0), "b": sums(4000, 1.0), "c": sums(evil, 100.0)}
    return float(pooled(told, nodes).scaling().mean[0])


@pytest.mark.parametrize("frames", [10**9, 10**6, 50_000])
def test_a_site_that_says_a_milliard_frames_does_not_own_the_scaling(frames: int) -> None:
    """By the plain sum the mean would be 99.999: that of the one site."""
    assert pooled_mean(frames, registered=True) <= 1 + 99 * 2 / 3 + 1e-9
    assert pooled_mean(4000, registered=True) == pytest.approx(34.0)  # an honest one counts as it says
    assert pooled_mean(10**9) > 99.9  # of a simulation, where all of it is this program's


def test_an_agreed_site_counts_as_its_recordings_do_however_many_frames_it_says() -> None:
    nodes = [node(site, registered=True, examples=40) for site in "abc"]
    told = {"a": sums(4000, 1.0), "b": sums(4000, 1.0), "c": sums(10**9, 100.0)}
    found = pooled(told, nodes)
    assert found.frames == 4000 + 4000 + 4 * 4000
    torch.testing.assert_close(found.square[0] / found.frames, torch.tensor((2 + 2 + 4 * 10001) / 6).double())


@pytest.mark.parametrize("number", [1, 31])
def test_the_weights_of_a_simulation_are_the_counts(number: int) -> None:
    nodes = [node("a"), node("b"), node("c", examples=10**7)]
    extra = 8 if number > 30 else 0
    assert weights(nodes, Config(), number) == {"a": 40 + extra, "b": 40 + extra, "c": 10**7 + extra}
