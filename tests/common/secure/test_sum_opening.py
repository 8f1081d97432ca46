from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FederationError
from common.secure.roster import sign
from common.secure.sum_opening import MaskedUpdate, signers, vote_on
from tests.common.secure.test_roster import PRIVATE, roster

CONTEXT = b"c" * 32
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["site", "context", "shares"]), inner),
    max_leaves=6,
)
LINES = st.tuples(VALUES.map(json.dumps), st.binary(max_size=9)).map(lambda two: two[0].encode() + b"\n" + two[1])


def update() -> MaskedUpdate:
    words = np.array([0, 1, 2**32 - 1, 10], np.uint32)  # 10 is a line's end, among others
    return MaskedUpdate(site="a", context="cd", words=words, shares={"a": b"1\n", "b": b"2"}, commitment="ef")


def test_a_masked_update_is_read_as_it_was_packed() -> None:
    found = MaskedUpdate.unpacked(update().packed())
    assert found.words.tolist() == update().words.tolist()
    assert (found.site, found.context, found.commitment) == ("a", "cd", "ef")
    assert found.shares == update().shares
    assert len(update().packed()) < 4 * 4 + 120


@pytest.mark.parametrize("content", [b"", b"{}\n", b"[]\nabcd", b"\xff\n", update().packed()[:-1]])
def test_what_is_none_is_refused(content: bytes) -> None:
    with pytest.raises(FederationError, match="a masked update cannot be read"):
        MaskedUpdate.unpacked(content)


@given(st.binary(max_size=200) | LINES)
def test_bytes_of_any_kind_are_a_masked_update_or_refused(content: bytes) -> None:
    try:
        found = MaskedUpdate.unpacked(content)
    except FederationError:
        return
    assert found.words.ndim == 1


def test_a_vote_is_of_one_site_for_one_list_in_one_round() -> None:
    sites = ("a", "b")
    votes = {site: sign(PRIVATE[site], vote_on(CONTEXT, sites)) for site in "abc"}
    assert signers(votes, roster(), CONTEXT, ("b", "a")) == votes
    assert signers(votes, roster(), b"d" * 32, sites) == {}
    assert signers(votes, roster(), CONTEXT, ("a", "c")) == {}
    assert signers(votes, roster(), CONTEXT, ("ab",)) == {}
    swapped = {"a": votes["b"], "b": votes["a"], "c": "no", "d": votes["a"]}
    assert signers(swapped, roster(), CONTEXT, sites) == {}
