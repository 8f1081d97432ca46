from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from common.storage.safe_name import safe_name

BYTES = st.binary(min_size=1, max_size=200).map(os.fsdecode)  # of a file's name: what is no UTF-8 is one surrogate each
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200) | BYTES


@given(NAMES, NAMES)
def test_any_name_is_a_files_and_no_two_share_one(one: str, other: str) -> None:
    assert len(safe_name(one).encode()) <= 150
    assert not set(safe_name(one)) & set("/\\\0: ")
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_what_is_short_stays_as_it_was() -> None:
    assert safe_name("st-mary") == "st-mary"
    assert safe_name("../x y") == "..%2Fx%20y"
    assert len(safe_name("医" * 28)) <= 150
