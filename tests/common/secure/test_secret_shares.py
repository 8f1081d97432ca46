from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import FederationError
from common.secure.secret_shares import SECRET, combine, commitment, seal, split, threshold, unseal


def test_two_sets_of_a_threshold_share_more_than_a_third() -> None:
    assert [threshold(sites) for sites in (3, 4, 7, 10, 50)] == [3, 3, 5, 7, 34]
    for sites in range(3, 200):
        assert 3 * (2 * threshold(sites) - sites) > sites


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=SECRET, max_size=SECRET), st.integers(3, 7))
def test_any_threshold_of_shares_gives_the_secret_back_and_fewer_do_not(secret: bytes, sites: int) -> None:
    shares, least = split(secret, sites), threshold(sites)
    for places in combinations(range(sites), least):
        assert combine({place: shares[place] for place in places}, sites) == secret
    assert combine(dict(enumerate(shares)), sites) == secret
    with pytest.raises(FederationError, match=f"there are {least - 1} shares of a mask, expected {least} of {sites}"):
        combine(dict(enumerate(shares[: least - 1])), sites)


def test_a_wrong_share_shows_against_the_commitment() -> None:
    secret = b"0123456789abcdef"
    shares = dict(enumerate(split(secret, 4)))
    assert commitment(combine(shares, 4)) == commitment(secret)
    shares[1] = bytes([shares[1][0] ^ 1]) + shares[1][1:]
    assert commitment(combine(shares, 4)) != commitment(secret)


def test_the_same_secret_is_split_anew_each_time() -> None:
    secret = bytes(SECRET)
    assert not set(split(secret, 4)) & set(split(secret, 4))
    with pytest.raises(ValueError, match="16 byte"):
        split(b"short", 4)


def test_a_sealed_share_opens_for_its_site_in_its_round_alone() -> None:
    share, secret, context = b"s" * SECRET, b"k" * 32, b"c" * 32
    sealed = seal(share, secret, context, "a", "b")
    assert unseal(sealed, secret, context, "a", "b") == share
    assert seal(share, secret, context, "a", "b") != sealed
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong in (
        (changed, secret, context, "a", "b"),
        (sealed, b"x" * 32, context, "a", "b"),
        (sealed, secret, b"d" * 32, "a", "b"),
        (sealed, secret, context, "b", "a"),
        (sealed[:5], secret, context, "a", "b"),
        (b"", secret, context, "a", "b"),
    ):
        with pytest.raises(FederationError, match=r"is not what . sealed for . in this round"):
            unseal(*wrong)
