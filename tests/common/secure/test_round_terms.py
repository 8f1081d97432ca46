from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.secure.round_terms import digest, joined

SETTING = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=4), st.binary(max_size=4)
)
SETTINGS = st.dictionaries(st.text(max_size=4), SETTING, max_size=4)


def told_apart(settings: dict[str, Any]) -> list[tuple[str, type, str]]:
    return sorted((key, type(value), repr(value)) for key, value in settings.items())


@given(SETTINGS, SETTINGS)
def test_two_settings_have_one_digest_where_they_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (digest(one) == digest(other)) == (told_apart(one) == told_apart(other))


def test_a_number_is_neither_a_text_nor_another_kind_of_number() -> None:
    assert len({digest({"a": value}) for value in (1, 1.0, True, "1", b"1", [1])}) == 6
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    with pytest.raises(TypeError, match="expected a number, a text, bytes"):
        digest({"a": object()})


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_no_two_lists_of_texts_come_to_the_same(one: list[bytes], other: list[bytes]) -> None:
    assert (joined(*one) == joined(*other)) == (one == other)
