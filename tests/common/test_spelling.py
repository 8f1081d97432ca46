from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.spelling import meant, near, near_equal, written
from tests.common.examples import utterance

ANY = st.text(max_size=30)
OTHERWISE = {
    "case": str.swapcase,
    "upper case": str.upper,
    "spaces around": lambda name: f" {name}\t",
    "a space that does not break": lambda name: f"{name}\u00a0",
    "a mark that nobody sees": lambda name: f"\ufeff{name}\u200b",
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "full width": lambda name: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name),
    "a number": lambda name: f"{name}.0" if name[-1].isdigit() else name,
    "a longer number": lambda name: f"{name}.00" if name[-1].isdigit() else name,
    "leading zeros": lambda name: re.sub(r"(?<!\d)(\d)", r"00\1", name),
}


@pytest.mark.parametrize("spelled", OTHERWISE.values(), ids=OTHERWISE)
@pytest.mark.parametrize("name", ["s4", "0", "P17", "Zoë", "Ōe 12", "刘畅", "speaker_3", "S-10", "Straße 1"])
def test_ids_that_differ_in_spelling_are_found(name: str, spelled) -> None:  # type: ignore[no-untyped-def]
    other = written(spelled(name))
    assert near(other) == near(name)
    assert near_equal([name, other, "another"]) == ((tuple(sorted((name, other))),) if other != name else ())
    assert meant(other, [name, "another"]) == name


def test_ids_of_several_people_stay_apart() -> None:
    several = ["1", "10", "100", "2", "s1", "s10", "t1", "1.5", "1.05", "10.5", "a1b2", "a12", "1-1", "11", "1_1", "0s"]
    assert near_equal(several) == ()
    assert meant("3", several) == "3"


@given(ANY)
def test_a_spelling_is_one_whatever_wrote_it(name: str) -> None:
    forms = {written(unicodedata.normalize(form, name)) for form in ("NFC", "NFD")}
    assert len(forms) == 1
    assert {written(form) for form in forms} == forms
    assert near(near(name)) == near(name)
    written(name).encode()


@given(st.binary(min_size=1, max_size=40))
def test_an_id_of_any_bytes_can_be_written(content: bytes) -> None:
    name = content.decode(errors="surrogateescape")
    known = utterance(name, "a.wav", session=name, site=name)
    assert known.speaker == known.session == known.site == written(name)
    known.speaker.encode()
