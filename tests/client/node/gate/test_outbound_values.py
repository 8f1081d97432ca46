from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, MetricRecord, RecordDict

from client.node.policy import inbound
from client.node.policy.clauses import DataPolicy, OutboundPolicy, PrivacyPolicy
from client.node.policy.document import Policy
from common import protocol
from common.config.units import UNITS
from common.messages import schema
from common.messages.schema import NOT_IN_PRIVATE
from common.messages.scope import Scope
from tests.client.node.gated import (
    ABOUT,
    FIGURES,
    FIRST,
    LEDGER,
    MODEL,
    PLAIN,
    PRIVATE,
    SCORES,
    SECRET,
    SPEAKERS,
    SURE,
    TEST_SCORES,
    TRAINED,
    Arrays,
    arrays,
    config_of,
    content,
    refused,
    through,
)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (protocol.SITE, "charite"),
        (protocol.CLASSES, ["anger", SECRET]),
        (protocol.CLASSES, ["anger", "anger"]),
        (protocol.MISSING, ["fear"]),
        (protocol.RELEASE, f"fedser 0.1.0, torch {SECRET}"),
        (protocol.RELEASE, f"0.1.0\n{SECRET}"),
        (protocol.LABELS, "AB" * 32),
        (protocol.LABELS, "ab" * 33),
        (protocol.EXAMPLES, 40.0),
    ],
)
def test_hello_tells_only_what_is_known_beforehand(key: str, value: Any) -> None:
    refused(protocol.HELLO, RecordDict({protocol.CONFIG: ConfigRecord(ABOUT | {key: value})}))


def test_hello_without_classes_in_the_settings_knows_the_names_of_emotions() -> None:
    settings = PLAIN | {"data.classes": ""}
    through(protocol.HELLO, content(protocol.HELLO), settings)
    told = RecordDict({protocol.CONFIG: ConfigRecord(ABOUT | {protocol.CLASSES: ["anger", SECRET]})})
    refused(protocol.HELLO, told, settings)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"classifier.bias": np.zeros(4, np.float32)},
        lambda a: a | {"classifier.bias": np.zeros(3)},
        lambda a: a | {"classifier.bias": np.zeros((3, 1), np.float32)},
        lambda a: a | {"classifier.bias": np.array([0, np.nan, 0], np.float32)},
        lambda a: a | {"classifier.bias": np.array([0, np.inf, 0], np.float32)},
        lambda a: a | {"steps": np.array(1.0)},
        lambda a: a | {SECRET: np.zeros(1, np.float32)},
        lambda a: {name: values for name, values in a.items() if name != "steps"},
        lambda a: a | {"classifier.bias": np.array([SECRET, SECRET, SECRET])},
    ],
)
def test_an_update_has_the_form_of_the_model_that_was_sent(change: Callable[[Arrays], Arrays]) -> None:
    told = content(protocol.TRAIN)
    told[protocol.ARRAYS] = arrays(change(TRAINED))
    refused(protocol.TRAIN, told)


def test_an_array_cannot_carry_bytes_beside_its_values() -> None:
    told = content(protocol.TRAIN)
    array = told.array_records[protocol.ARRAYS]["classifier.bias"]
    forged = [
        Array(array.dtype, array.shape, array.stype, array.data + SECRET.encode()),
        Array(array.dtype, array.shape, array.stype, SECRET.encode()),
        Array("float64", array.shape, array.stype, array.data),
        Array(array.dtype, (4,), array.stype, array.data),
        Array(array.dtype, array.shape, SECRET, array.data),
    ]
    for item in forged:
        told.array_records[protocol.ARRAYS]["classifier.bias"] = item
        refused(protocol.TRAIN, told)


def test_arrays_leave_in_the_order_of_their_names() -> None:
    told = content(protocol.TRAIN)
    told[protocol.ARRAYS] = arrays(dict(reversed(TRAINED.items())))
    assert list(through(protocol.TRAIN, told)[protocol.ARRAYS]) == sorted(MODEL)


def test_losses_and_seconds_of_a_private_run_stay() -> None:
    for settings in (PRIVATE, SPEAKERS, PRIVATE | {"privacy.unit": "site"}):
        told = content(protocol.TRAIN, settings)
        if settings["privacy.unit"] == "site":
            del told[protocol.CONFIG]
        through(protocol.TRAIN, told, settings)
        for key in (protocol.LOSS, protocol.SECONDS):
            told[protocol.METRICS] = MetricRecord({protocol.EXAMPLES: 40, key: 1.0})
            refused(protocol.TRAIN, told, settings)


def test_a_site_out_of_budget_says_so_and_sends_no_model() -> None:
    stopped = RecordDict({protocol.CONFIG: ConfigRecord(LEDGER | {protocol.STOPPED: True})})
    assert through(protocol.TRAIN, stopped, PRIVATE)[protocol.CONFIG][protocol.STOPPED] is True
    with_model = content(protocol.TRAIN, PRIVATE)
    with_model[protocol.CONFIG] = ConfigRecord(LEDGER | {protocol.STOPPED: True})
    refused(protocol.TRAIN, with_model, PRIVATE)
    refused(protocol.TRAIN, RecordDict({protocol.CONFIG: ConfigRecord(LEDGER)}), PRIVATE)
    refused(protocol.TRAIN, stopped)  # no private run, no ledger


@pytest.mark.parametrize("report", [True, False])
def test_what_was_spent_so_far_comes_with_an_update_where_the_policy_says_so(report: bool) -> None:
    told = content(protocol.TRAIN, PRIVATE)
    told[protocol.CONFIG] = ConfigRecord({**LEDGER, protocol.FIGURES: json.dumps(FIGURES)})
    left = through(protocol.TRAIN, told, PRIVATE, Policy(privacy=PrivacyPolicy(report_epsilon=report)))
    figures = json.loads(str(left[protocol.CONFIG][protocol.FIGURES]))
    assert figures["epsilon"] == (FIGURES["epsilon"] if report else None)
    told[protocol.CONFIG] = ConfigRecord({**LEDGER, protocol.FIGURES: "/data/x.wav"})
    refused(protocol.TRAIN, told, PRIVATE)


@pytest.mark.parametrize("kind", [protocol.STATISTICS, protocol.EVALUATE, protocol.EVALUATE_CONFIDENCE])
def test_sums_and_validation_scores_of_a_private_run_stay(kind: str) -> None:
    assert "the run is private" in refused(kind, content(kind), PRIVATE)


@pytest.mark.parametrize(
    "change",
    [
        {"total": np.ones(4)},
        {"total": np.ones(5, np.float32)},
        {"total": np.ones((5, 1))},
        {"total": np.array([1, 2, np.nan, 4, 5])},
        {"total": np.ones(200_000), "square": np.ones(200_000)},
    ],
)
def test_sums_are_one_number_a_feature(change: Arrays) -> None:
    told = content(protocol.STATISTICS)
    told[protocol.ARRAYS] = arrays({"total": np.ones(5), "square": np.ones(5)} | change)
    refused(protocol.STATISTICS, told)


@pytest.mark.parametrize(
    "change",
    [
        {protocol.CONFUSION: [0] * 1_000_000},
        {protocol.CONFUSION: [6, 0, 0, 0]},
        {protocol.CONFUSION: [5] + [0] * 8},
        {protocol.CONFUSION: [7, -1] + [0] * 7},
        {protocol.CONFUSION: [6.0] + [0.0] * 8},
        {protocol.LOSS: math.nan},
        {protocol.EXAMPLES: 7},
    ],
)
def test_scores_are_counts_that_add_up(change: dict[str, Any]) -> None:
    for kind, own in ((protocol.EVALUATE, SCORES), (protocol.EVALUATE_TEST, TEST_SCORES)):
        refused(kind, RecordDict({protocol.METRICS: MetricRecord(own | change)}))


@pytest.mark.parametrize(
    "change",
    [
        {protocol.RIGHT: [0] * 20},
        {protocol.RIGHT: [*[0] * 15, 2, 1, 1, 1, 1]},
        {protocol.RIGHT: [*[0] * 16, 1, 1, 1, 1, 1]},
        {protocol.WRONG: [*[0] * 7, -1, 2, *[0] * 11]},
        {protocol.WRONG: [*[0.0] * 8, 1.0, *[0.0] * 11]},
        {protocol.LOSSES: [7.5] * 15},
        {protocol.LOSSES: [7.5] * 15 + [math.nan]},
        {protocol.LOSSES: [7.5] * 15 + [math.inf]},
        {protocol.LOSSES: [7.5] * 15 + [-0.5]},
        {protocol.EXAMPLES: 7},
        {protocol.CONFUSION: SCORES[protocol.CONFUSION]},
        {protocol.LOSS: 7.5},
    ],
)
def test_how_sure_a_model_is_leaves_in_bins_that_add_up_and_finite_losses(change: dict[str, Any]) -> None:
    refused(protocol.EVALUATE_CONFIDENCE, RecordDict({protocol.METRICS: MetricRecord(SURE | change)}))


def test_together_they_are_counted_as_strangers_alone() -> None:
    """How far a scaling has adapted tells how much a person said: by that a model could sort people."""
    told = SCORES[protocol.CONFUSION]
    adapted = {protocol.CONFUSION: told} | {protocol.after(n): [5 * count for count in told] for n in ("2", "8")}
    through(protocol.EVALUATE_TEST, content(protocol.EVALUATE_TEST))
    refused(protocol.EVALUATE_TEST, RecordDict({protocol.METRICS: MetricRecord(TEST_SCORES | adapted)}))


def test_held_out_speakers_are_counted_one_by_one_where_the_policy_says_so() -> None:
    allowing = Policy(outbound=OutboundPolicy(allow_test_speakers=True))
    confusion = [1, 1, 0, 0, 2, 0, 0, 0, 1] + [0] * 8 + [1]
    five = [5 * count for count in confusion]
    tables = {protocol.CONFUSION: confusion, protocol.after("2"): five, protocol.after("8"): five, FIRST: confusion}
    two = RecordDict({protocol.METRICS: MetricRecord(TEST_SCORES | {protocol.SPEAKERS: 2} | tables)})
    through(protocol.EVALUATE_TEST, two, policy=allowing)
    refused(protocol.EVALUATE_TEST, two)
    for missing in (protocol.CONFUSION, protocol.after("2"), protocol.after("8")):
        part = {key: own for key, own in tables.items() if key != missing}
        odd = RecordDict({protocol.METRICS: MetricRecord(TEST_SCORES | {protocol.SPEAKERS: 2} | part)})
        refused(protocol.EVALUATE_TEST, odd, policy=allowing)
    refused(protocol.EVALUATE, RecordDict({protocol.METRICS: MetricRecord(SCORES | {protocol.CONFUSION: confusion})}))
    seven = TEST_SCORES | {FIRST: [6, *([0] * (7 * 9 - 1))]}  # more groups than recordings
    for policy in (Policy(), allowing):
        through(protocol.EVALUATE_TEST, content(protocol.EVALUATE_TEST), policy=policy)
        refused(protocol.EVALUATE_TEST, RecordDict({protocol.METRICS: MetricRecord(seven)}), policy=policy)
        for speakers in (1, 7):  # too few for the policy, more than recordings
            odd = TEST_SCORES | {protocol.SPEAKERS: speakers}
            refused(protocol.EVALUATE_TEST, RecordDict({protocol.METRICS: MetricRecord(odd)}), policy=policy)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", list(NOT_IN_PRIVATE))
def test_nothing_that_only_other_runs_are_told_leaves_a_private_one(kind: str, unit: str) -> None:
    settings = PRIVATE | {"privacy.unit": unit}
    open_policy = Policy(outbound=OutboundPolicy(allow_class_counts=True))
    assert "the run is private" in refused(kind, content(kind), settings, open_policy)
    asked = schema.request(kind, Scope()).records
    about = RecordDict({name: ConfigRecord() for name in asked if name == protocol.CONFIG})
    assert "the run is private" in str(inbound.fault(kind, about, config_of(settings)))
    for model in ({}, {"classifier.bias": np.zeros(())}, {"classifier.bias": np.zeros(1)}):
        refused(protocol.EVALUATE, content(protocol.EVALUATE), model=model)
        refused(protocol.EVALUATE_CONFIDENCE, content(protocol.EVALUATE_CONFIDENCE), model=model)


def test_what_was_spent_is_told_only_where_the_policy_says_so() -> None:
    left = through(protocol.PRIVACY, content(protocol.PRIVACY), PRIVATE)
    told = json.loads(str(left.config_records[protocol.CONFIG][protocol.FIGURES]))
    assert told == dict.fromkeys(FIGURES) | {"delta": 1e-5, "stopped": False}


@pytest.mark.parametrize(
    "figures",
    [
        "{",
        "[]",
        "3",
        "[" * 100_000,
        json.dumps(FIGURES | {"speaker": SECRET}),
        json.dumps(FIGURES | {"epsilon": SECRET}),
        json.dumps(FIGURES | {"epsilon": math.nan}),
        json.dumps(FIGURES | {"stopped": 1}),
        json.dumps({key: value for key, value in FIGURES.items() if key != "delta"}),
        json.dumps(FIGURES)[:-1] + f', "stopped": "{SECRET}"}}',
    ],
)
def test_figures_are_numbers(figures: str) -> None:
    told = RecordDict({protocol.CONFIG: ConfigRecord({protocol.FIGURES: figures})})
    refused(protocol.PRIVACY, told, PRIVATE, Policy(privacy=PrivacyPolicy(report_epsilon=True)))


def test_figures_are_written_anew() -> None:
    spaced = json.dumps(FIGURES).replace(":", f":{' ' * 500}").replace("{", '{"delta": 7,')
    told = RecordDict({protocol.CONFIG: ConfigRecord({protocol.FIGURES: spaced})})
    left = through(protocol.PRIVACY, told, PRIVATE, Policy(privacy=PrivacyPolicy(report_epsilon=True)))
    text = str(left.config_records[protocol.CONFIG][protocol.FIGURES])
    assert json.loads(text) == FIGURES
    assert "  " not in text


@pytest.mark.parametrize("allowed", [True, False])
def test_what_rides_with_an_update_behind_masks_is_the_policys_too(allowed: bool) -> None:
    told, settings = content(protocol.TRAIN), {**PLAIN, "federation.secure": True}
    scores: Any = {protocol.CONFUSION: [1, 1, 0, 0, 2, 0, 0, 0, 2], protocol.VALIDATION_EXAMPLES: 6}
    told.metric_records[protocol.METRICS].update({**scores, protocol.VALIDATION_LOSS: 7.5})
    policy = Policy(data=DataPolicy(min_speakers=1), outbound=OutboundPolicy(allow_validation=allowed))
    left = through(protocol.TRAIN, told, settings, policy=policy)[protocol.METRICS]
    assert (protocol.CONFUSION in left, protocol.VALIDATION_LOSS in left) == (allowed, allowed)
    assert left[protocol.EXAMPLES] == 40
