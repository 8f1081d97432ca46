from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from common.deployment.site_kit import openssh
from common.errors import FederationError
from common.secure.roster import Roster, RosterEntry

RUN = "run-a"
PRIVATE = {name: ec.derive_private_key(number + 2, ec.SECP384R1()) for number, name in enumerate("abc")}


def entry(site: str, **more: Any) -> RosterEntry:
    told: dict[str, Any] = {
        "site": site,
        "identity": openssh(PRIVATE[site].public_key()),
        "key": site.encode().hex() * 32,
        "examples": 10,
        "validation": 2,
    }
    return RosterEntry(**{**told, **more}).signed(RUN, PRIVATE[site])


def roster() -> Roster:
    return Roster.of(entry(site) for site in "cab")


def test_a_roster_is_in_the_order_of_names_and_read_as_it_was_written() -> None:
    found = roster()
    assert (found.sites, found.examples, found.validation) == (("a", "b", "c"), 30, 6)
    assert found.fault(RUN) is None
    assert Roster.read(found.text) == found
    assert (found.weight("ab", refit=False), found.weight("ab", refit=True)) == (20, 24)
    assert found.entry("b") == found.entries[1]
    assert found.entry("d") is None


def test_the_digest_is_of_all_that_is_agreed_and_of_no_signature() -> None:
    found = roster()
    assert found.digest == roster().digest
    assert found.text != roster().text  # ECDSA's signatures differ each time
    first, *others = found.entries
    for change in ({"site": "x"}, {"identity": "x"}, {"key": "00"}, {"examples": 1}, {"validation": 1}):
        changed = replace(found, entries=(replace(first, **change), *others))
        assert changed.digest != found.digest
        assert (changed.members != found.members) == ("key" not in change)
    assert replace(found, examples=31).digest != found.digest


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"examples": 0}, "a has 0 and 2 recordings in the roster, expected 1 or more"),
        ({"validation": -1}, "a has 10 and -1 recordings in the roster"),
        ({"key": "ab"}, "a's key of the run has 2 digits, expected 64"),
    ],
)
def test_an_entry_that_is_none_is_a_fault(change: dict[str, Any], why: str) -> None:
    found = Roster.of([entry("a", **change), entry("b"), entry("c")])
    assert str(found.fault(RUN)).startswith(why)


def test_what_was_not_signed_so_is_a_fault() -> None:
    found = roster()
    first, *others = found.entries
    assert "is not signed for this run" in str(found.fault("run-b"))
    for change in ({"key": "99" * 32}, {"examples": 11}, {"validation": 3}, {"signature": "zz"}, {"identity": "x"}):
        changed = Roster.of([replace(first, **change), *others])
        assert changed.fault(RUN) == "a's entry in the roster is not signed for this run by the key that it names"


def test_a_registered_key_of_another_kind_is_a_fault() -> None:
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    line = other.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    weaker = openssh(ec.derive_private_key(5, ec.SECP256R1()).public_key())
    for identity in (line, weaker):
        assert "is not signed" in str(Roster.of([entry("a", identity=identity), entry("b")]).fault(RUN))


def test_names_keys_and_totals_are_looked_at() -> None:
    found = roster()
    a, b, c = found.entries
    assert Roster(entries=(), examples=0, validation=0).fault(RUN) == "the roster names no site"
    assert "are not in the order" in str(replace(found, entries=(b, a, c)).fault(RUN))
    assert "names a 2 times" in str(Roster.of([a, a, c]).fault(RUN))
    assert "has one run key 2 times" in str(Roster.of([a, entry("b", key=a.key), c]).fault(RUN))
    assert found.fault(RUN) is None
    assert replace(found, examples=29).fault(RUN) == "the roster says 29 examples in all, its sites' counts come to 30"
    assert "says 7 validation in all" in str(replace(found, validation=7).fault(RUN))


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"entries": 3}', '{"entries": [3], "examples": 1, "validation": 1}'),
        json.dumps({"entries": [], "examples": True, "validation": 1}),
        json.dumps({"entries": [], "examples": 1, "validation": 1, "more": 1}),
        json.dumps({"entries": [{"site": "a"}], "examples": 1, "validation": 1}),
        roster().text.replace('"examples":10', '"examples":10.0'),
        roster().text.replace('"key":"61', '"key":"zz'),
        roster().text.replace('"site":"a"', '"site":"\\ud800"'),
    ],
)
def test_a_text_that_holds_no_roster_is_refused(text: str) -> None:
    with pytest.raises(FederationError, match="the message's roster is none"):
        Roster.read(text)
