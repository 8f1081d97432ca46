"""Messages of sums that are none: each is refused in a line, whatever stands where something else should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from common import protocol
from common.errors import FederationError
from common.flower import sum_messages
from common.secure.sum_opening import Opening

ROUND: dict[str, Any] = {protocol.RUN: "run-a", protocol.NUMBER: 3, protocol.ROSTER: "{}"}


def test_a_round_and_its_sum_have_one_number() -> None:
    content = RecordDict(
        {
            protocol.ARRAYS: ArrayRecord({"w": Array(np.zeros(2, np.float32))}),
            protocol.CONFIG: ConfigRecord({protocol.ROUND: 2}),
            protocol.SECURE: ConfigRecord(dict(ROUND)),
        }
    )
    with pytest.raises(FederationError, match="the message is of round 2 and of sum 3"):
        sum_messages.terms_of(protocol.TRAIN, content, bundle="", settings={}, rounds=5)
    with pytest.raises(FederationError, match="the message names no sum behind masks"):
        sum_messages.roster_of(RecordDict({protocol.CONFIG: ConfigRecord()}))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"site": "a"}', "[" * 100_000])
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(FederationError, match="it told no entry of the roster"):
        sum_messages.read_entry({protocol.CONFIG: {protocol.ENTRY: text}})


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({protocol.SHARES: '{"a": "zz"}'}, "no hexadecimal digits"),
        ({protocol.SHARES: '{"a": 1}'}, "no texts by site"),
        ({protocol.SHARES: "nothing"}, "no texts by site"),
        ({protocol.VOTES: "[]"}, "no texts by site"),
    ],
)
def test_what_opens_nothing_is_refused(told: Mapping[str, Any], why: str) -> None:
    asked = ConfigRecord({**ROUND, protocol.SITES: ["a"], protocol.SHARES: "{}", protocol.VOTES: "{}", **told})
    with pytest.raises(FederationError, match=why):
        sum_messages.read_opening(RecordDict({protocol.SECURE: asked}))


def test_an_opening_is_read_as_it_was_written() -> None:
    opening = Opening(run="run-a", number=3, roster="{}", sites=("a", "b"), shares={"a": b"\x01"}, votes={"b": "ff"})
    assert sum_messages.read_opening(sum_messages.unmask_request(opening)) == opening
