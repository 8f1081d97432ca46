from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict

from client.node.gate.outbound import Refused, RoundBytes, passed, record_bytes
from client.node.policy.clauses import OutboundPolicy, PrivacyPolicy
from client.node.policy.document import Policy
from common import protocol
from common.flower.packing import pack
from tests.client.node.gated import (
    ABOUT,
    HEAD,
    HONEST,
    MODEL,
    PLAIN,
    PRIVATE,
    SECRET,
    SITE,
    arrays,
    config_of,
    content,
    counted,
    plain,
    refused,
    through,
)


@pytest.mark.parametrize(("kind", "settings"), HONEST)
def test_an_honest_reply_leaves_as_it_is_with_the_audit_logs_head(kind: str, settings: dict[str, Any]) -> None:
    policy = Policy(privacy=PrivacyPolicy(report_epsilon=True))
    told = content(kind, settings)
    left = through(kind, told, settings, policy)
    head = {protocol.AUDIT_ENTRIES: 7, protocol.AUDIT_HASH: "ab" * 32}
    expected = plain(told)
    assert plain(left) == expected | {protocol.CONFIG: expected.get(protocol.CONFIG, {}) | head}
    assert not {id(record) for record in left.values()} & {id(record) for record in told.values()}


@pytest.mark.parametrize(("kind", "settings"), HONEST)
def test_packed_arrays_are_judged_one_by_one(kind: str, settings: dict[str, Any]) -> None:
    policy = Policy(privacy=PrivacyPolicy(report_epsilon=True))
    asked = Message(pack(RecordDict({protocol.ARRAYS: arrays(MODEL), protocol.CONFIG: ConfigRecord()})), 5, kind)
    reply = Message(pack(counted(content(kind, settings))), reply_to=asked)
    left = passed(reply, asked, site=SITE, policy=policy, config=config_of(settings), head=HEAD)
    assert plain(left) == plain(through(kind, content(kind, settings), settings, policy))


def test_a_packed_update_cannot_bring_another_array() -> None:
    told = content(protocol.TRAIN, PLAIN)
    told[protocol.ARRAYS] = arrays({**MODEL, "voice": np.zeros(3, np.float32)})
    refused(protocol.TRAIN, pack(counted(told)), PLAIN)


@pytest.mark.parametrize(("kind", "settings"), HONEST)
def test_nothing_comes_along(kind: str, settings: dict[str, Any]) -> None:
    """Another record, and another key in each record, of each type that a value can have."""
    for record in (ConfigRecord({"x": SECRET}), MetricRecord({SECRET: 1}), arrays({SECRET: np.zeros(1)})):
        told = content(kind, settings)
        told["extra"] = record
        refused(kind, told, settings)
    for name in content(kind, settings):
        told = content(kind, settings)
        extra: Any = Array(np.zeros(1)) if isinstance(told[name], ArrayRecord) else 1
        told[name][SECRET] = extra
        refused(kind, told, settings)


@pytest.mark.parametrize(("kind", "settings"), HONEST)
def test_nothing_may_be_missing(kind: str, settings: dict[str, Any]) -> None:
    for name, record in content(kind, settings).items():
        without = content(kind, settings)
        del without[name]
        refused(kind, without, settings)
        for key in record:
            without = content(kind, settings)
            del without[name][key]
            refused(kind, without, settings)


@pytest.mark.parametrize(("kind", "settings"), HONEST)
def test_no_text_and_no_list_gets_through_in_place_of_a_value(kind: str, settings: dict[str, Any]) -> None:
    for name, record in content(kind, settings).items():
        for key in record:
            for value in (SECRET, [SECRET], SECRET.encode(), [1] * 1000, [], -1, math.nan, math.inf, 10**12, True):
                told = content(kind, settings)
                records: Any = told
                try:
                    records[name][key] = value
                except TypeError:
                    continue  # Flower's record takes no such thing
                if key in (protocol.CLASSES, protocol.MISSING) and value == []:
                    continue
                refused(kind, told, settings)


def test_a_private_run_does_not_tell_which_classes_a_site_lacks() -> None:
    told = RecordDict({protocol.CONFIG: ConfigRecord(ABOUT)})
    through(protocol.HELLO, told)
    refused(protocol.HELLO, told, PRIVATE)


@pytest.mark.parametrize(("kind", "settings"), HONEST)
def test_too_few_are_not_spoken_for_whatever_is_asked(kind: str, settings: dict[str, Any]) -> None:
    told = content(kind, settings)
    through(kind, counted(told, recordings=10, speakers=2), settings)
    for held, reason in (((9, 2), "9 recordings"), ((10, 1), "1 speakers")):
        assert f"there are {reason} to train on, the policy asks for" in refused(kind, counted(told, *held), settings)


def test_how_much_there_is_must_be_told_to_the_gate_and_in_its_form() -> None:
    told = content(protocol.TRAIN)
    forms: list[dict[str, Any]] = [{}, {protocol.RECORDINGS: 40}, {protocol.RECORDINGS: 40.5, protocol.SPEAKERS: 3}]
    for held in forms:
        refused(protocol.TRAIN, RecordDict({**told, protocol.HELD: ConfigRecord(held)}))
    asked = Message(RecordDict({protocol.ARRAYS: arrays(MODEL), protocol.CONFIG: ConfigRecord()}), 5, protocol.TRAIN)
    with pytest.raises(Refused, match="the reply's record held is missing"):
        passed(Message(told, reply_to=asked), asked, site=SITE, policy=Policy(), config=config_of(PLAIN), head=HEAD)


def test_an_errors_text_does_not_leave_and_is_not_in_the_reason() -> None:
    asked = Message(RecordDict({protocol.CONFIG: ConfigRecord()}), 5, protocol.TRAIN)
    reply = Message(Error(2, f"/data/{SECRET}.wav is broken"), reply_to=asked)
    with pytest.raises(Refused) as caught:
        passed(reply, asked, site=SITE, policy=Policy(), config=config_of(PLAIN), head=HEAD)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "kind", [protocol.STATISTICS, protocol.EVALUATE, protocol.EVALUATE_TEST, protocol.EVALUATE_CONFIDENCE]
)
def test_the_gate_asks_the_policy_too(kind: str) -> None:
    none = Policy(outbound=OutboundPolicy(allow_statistics=False, allow_validation=False, allow_test=False))
    refused(kind, content(kind), policy=none)
    refused("query.shell", content(protocol.HELLO))


def test_a_reply_to_something_else_is_refused() -> None:
    content_asked = RecordDict({protocol.CONFIG: ConfigRecord()})
    asked, other = Message(content_asked, 5, protocol.TRAIN), Message(content_asked, 5, protocol.HELLO)
    reply = Message(content(protocol.HELLO), reply_to=other)
    with pytest.raises(Refused):
        passed(reply, asked, site=SITE, policy=Policy(), config=config_of(PLAIN), head=HEAD)


def test_bytes_are_counted_by_record() -> None:
    left = through(protocol.TRAIN, content(protocol.TRAIN))
    sizes = record_bytes(left)
    assert set(sizes) == {protocol.ARRAYS, protocol.METRICS, protocol.CONFIG}
    assert sizes[protocol.ARRAYS] == 3 * 128 + 3 * 4 + 6 * 4 + 8  # NumPy's headers, and the values


def test_a_round_and_a_run_have_their_bytes() -> None:
    policy = Policy(outbound=OutboundPolicy(max_bytes_round=100))
    policy = dataclasses.replace(policy, run=dataclasses.replace(policy.run, max_rounds=2))
    sent = RoundBytes()
    sent.add(1, "1", 60, policy)
    with pytest.raises(Refused, match="120 bytes would have left in a round, the policy allows 100"):
        sent.add(1, "1", 60, policy)
    sent.add(1, "1", 40, policy)  # what was refused does not count
    sent.add(2, "1", 100, policy)
    sent.add(1, "2", 100, policy)
    sent.add(1, "any name", 100, policy)
    with pytest.raises(Refused, match="301 bytes would have left in a run"):
        sent.add(1, "and another", 1, policy)
