from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import UsageError
from common.secure import pinned_keys
from tests.common.secure.test_roster import entry, roster

KEYS = {site: entry(site).identity for site in "abc"}
NAMED = {"st-mary": KEYS["a"], "st-john": KEYS["b"]}


def test_the_file_is_read_as_it_was_written_and_says_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(pinned_keys.text_of(NAMED))
    assert pinned_keys.read(path) == NAMED
    assert f"# {pinned_keys.spoken(NAMED)}\n" in path.read_text()


def test_the_digest_is_of_every_name_and_key_in_any_order() -> None:
    spoken = pinned_keys.spoken(NAMED)
    assert [len(group) for group in spoken.split(" ")] == [4] * 16
    assert pinned_keys.spoken(dict(reversed(NAMED.items()))) == spoken
    for other in ({**NAMED, "x1": KEYS["c"]}, {**NAMED, "st-mary": KEYS["c"]}, {"st-mary": KEYS["a"]}):
        assert pinned_keys.spoken(other) != spoken


def test_a_comment_behind_a_key_is_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "roster.toml"
    path.write_text(f'[sites]\nst-mary = "{KEYS["a"]} ward@st-mary"\n')
    assert pinned_keys.read(path) == {"st-mary": KEYS["a"]}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has nothing, expected one section"),
        ("[sites]\n[more]\n", "has sites, more, expected one section"),
        ("sites = 3\n", "has sites, expected one section"),
        ("[sites]\nst-mary = 3\n", "st-mary = 3, expected a site's name and its public key"),
        ('[sites]\n"St Mary" = "x"\n', "St Mary = 'x', expected a site's name"),
        ("[sites", "is not TOML"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "roster.toml").write_text(text)
    with pytest.raises(UsageError, match=why):
        pinned_keys.read(tmp_path / "roster.toml")
    with pytest.raises(UsageError, match="expected the roster of keys"):
        pinned_keys.read(tmp_path / "missing.toml")


def test_a_site_that_is_not_pinned_or_has_another_key_is_a_fault() -> None:
    assert pinned_keys.fault(KEYS, roster()) is None
    known = {site: key for site, key in KEYS.items() if site != "b"}
    assert str(pinned_keys.fault(known, roster())).startswith("b is in the roster and is no peer")
    assert "with another registered key" in str(pinned_keys.fault({**KEYS, "b": KEYS["a"]}, roster()))
