from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FederationError
from common.secure.pair_masks import RunKey, derive, mask, mask_of, new_key, pair_seed, self_seed


def test_two_sites_agree_on_what_no_third_has() -> None:
    one, other = new_key(), RunKey(b"7" * 32)
    assert one.agree(other.public) == other.agree(one.public) != new_key().agree(one.public)
    assert one.agree(one.public) not in (one.agree(other.public), other.agree(other.public))
    for none in (bytes(32), b"short", (2**255 - 20).to_bytes(32, "little")):  # points of low order, and no point
        with pytest.raises(FederationError, match="no usable X25519 key"):
            one.agree(none)


def test_a_mask_is_aes_256_in_counter_mode() -> None:
    """NIST's AESAVS has what a block of zeros comes to under a key of zeros."""
    words = mask_of(bytes(32), 4)
    assert words.tobytes().hex() == "dc95c078a2408989ad48a21492842087"
    assert mask_of(bytes(32), 8)[:4].tolist() == words.tolist()


def test_seeds_differ_by_all_that_they_are_bound_to() -> None:
    seeds = {
        pair_seed(secret, context, one, other)
        for secret in (b"s" * 32, b"t" * 32)
        for context in (b"c", b"d")
        for one, other in (("a", "b"), ("a", "bc"), ("ab", "c"))
    }
    assert len(seeds) == 12
    assert pair_seed(b"s", b"c", "a", "b") == pair_seed(b"s", b"c", "b", "a")
    assert derive(b"s", b"ab", b"c") != derive(b"s", b"a", b"bc")
    assert self_seed(b"s" * 16) != derive(b"s" * 16, b"fedser pair mask")


@given(
    st.sets(st.text(max_size=3), min_size=2, max_size=8),
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=9),
)
def test_pair_masks_vanish_in_the_sum_of_all(names: set[str], values: list[int]) -> None:
    words, own = np.array(values, np.uint32), bytes(32)
    found = np.zeros_like(words)
    for name in names:
        found += mask(words, name, own, {peer: pair_seed(b"s", b"c", name, peer) for peer in names - {name}})
        found -= mask_of(own, len(words))
    np.testing.assert_array_equal(found, words * np.uint32(len(names)))
    assert words.tolist() == values
