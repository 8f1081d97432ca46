from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.node.clauses import OutboundPolicy, PrivacyPolicy
from client.node.gate import Refused, RoundBytes, passed, record_bytes
from client.node.policy import Policy, run_config
from common import protocol
from common.chain import Head
from common.config import Config, flatten
from common.packing import pack

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1  # without it Flower makes no message

SITE, CLASSES = "st-mary", ["anger", "neutral", "sadness"]
HEAD = Head(entries=7, hash="ab" * 32)
LEDGER: dict[str, Any] = {protocol.LEDGER_ENTRIES: 3, protocol.LEDGER_HASH: "cd" * 32}
PLAIN = {**flatten(Config()), "data.classes": ",".join(CLASSES), protocol.PLAN: "runs/x/plan.json"}
PRIVATE = PLAIN | {"privacy.epsilon": 8.0}
SPEAKERS = PRIVATE | {"privacy.unit": "speaker"}
SECRET = "patient_0042"


@functools.cache
def _config(settings: str) -> Config:
    return run_config(json.loads(settings))


@pytest.fixture(autouse=True)
def _settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of replies of the same few runs: reading settings would take most of the time."""
    monkeypatch.setattr("client.node.gate.run_config", lambda settings: _config(json.dumps(settings)))


Arrays = dict[str, np.ndarray[Any, Any]]
MODEL: Arrays = {
    "classifier.bias": np.zeros(3, np.float32),
    "classifier.weight": np.zeros((3, 2), np.float32),
    "steps": np.array(0),
}
TRAINED: Arrays = {name: np.asarray(values + 1) for name, values in MODEL.items()}
TRAIN_METRICS: Any = {protocol.EXAMPLES: 40, protocol.LOSS: 1.5, protocol.SECONDS: 2.0}
SCORES: Any = {protocol.EXAMPLES: 6, protocol.LOSS: 7.5, protocol.CONFUSION: [1, 1, 0, 0, 2, 0, 0, 0, 2]}
FIGURES: dict[str, Any] = {
    "epsilon": 1.5,
    "epsilon_total": 2.5,
    "epsilon_rdp": 1.7,
    "delta": 1e-5,
    "noise_multiplier": 1.1,
    "steps": 30,
    "sample_rate": 0.2,
    "budget": None,
    "stopped": False,
}
ABOUT: dict[str, Any] = {
    protocol.SITE: SITE,
    protocol.PROTOCOL: protocol.VERSION,
    protocol.CLASSES: CLASSES,
    protocol.FEATURES: 282,
    protocol.EXAMPLES: 40,
    protocol.VALIDATION_EXAMPLES: 12,
    protocol.TEST_EXAMPLES: 0,
    protocol.SPEAKERS: 3,
    protocol.VALIDATION_SPEAKERS: 1,
    protocol.MISSING: ["sadness"],
    protocol.RELEASE: "fedser 0.1.0, torch 2.13.0+cpu",
    protocol.LABELS: "ef" * 32,
}


def arrays(values: Arrays) -> ArrayRecord:
    return ArrayRecord({name: Array(item) for name, item in values.items()})


def content(kind: str, settings: dict[str, Any] = PLAIN) -> RecordDict:
    """What an honest app answers."""
    private = settings is not PLAIN
    metrics = MetricRecord({protocol.EXAMPLES: 40} if private else TRAIN_METRICS)
    update: Any = {protocol.ARRAYS: arrays(TRAINED), protocol.METRICS: metrics}
    if private:
        update[protocol.CONFIG] = ConfigRecord(LEDGER)
    sums = arrays({"total": np.ones(5), "square": np.ones(5)})
    about = ABOUT | ({protocol.MISSING: []} if private else {})
    return {
        protocol.HELLO: RecordDict({protocol.CONFIG: ConfigRecord(about)}),
        protocol.STATISTICS: RecordDict(
            {protocol.ARRAYS: sums, protocol.METRICS: MetricRecord({protocol.FRAMES: 900})}
        ),
        protocol.TRAIN: RecordDict(update),
        protocol.EVALUATE: RecordDict({protocol.METRICS: MetricRecord(SCORES)}),
        protocol.EVALUATE_TEST: RecordDict({protocol.METRICS: MetricRecord(SCORES)}),
        protocol.PRIVACY: RecordDict(
            {protocol.CONFIG: ConfigRecord({protocol.FIGURES: json.dumps(FIGURES, sort_keys=True)})}
        ),
    }[kind]


def counted(told: RecordDict, recordings: int = 40, speakers: int = 3) -> RecordDict:
    """With how much the site holds, which the gate keeps."""
    held = ConfigRecord({protocol.RECORDINGS: recordings, protocol.SPEAKERS: speakers})
    return RecordDict({protocol.HELD: held, **told})


def through(
    kind: str, told: RecordDict, settings: dict[str, Any] = PLAIN, policy: Policy | None = None, model: Arrays = MODEL
) -> RecordDict:
    told = told if protocol.HELD in told else counted(told)
    asked = Message(RecordDict({protocol.ARRAYS: arrays(model), protocol.CONFIG: ConfigRecord()}), 5, kind)
    reply = Message(told, reply_to=asked)
    return passed(reply, asked, site=SITE, policy=policy or Policy(), settings=settings, head=HEAD)


def plain(records: RecordDict) -> dict[str, Any]:
    return {
        name: {key: value.numpy().tolist() if isinstance(value, Array) else value for key, value in record.items()}
        for name, record in records.items()
    }


HONEST = [
    *((kind, PLAIN) for kind in (protocol.HELLO, protocol.STATISTICS, protocol.TRAIN, protocol.EVALUATE)),
    *((protocol.EVALUATE_TEST, settings) for settings in (PLAIN, PRIVATE)),
    *((kind, settings) for kind in (protocol.HELLO, protocol.TRAIN) for settings in (PRIVATE, SPEAKERS)),
    (protocol.PRIVACY, PRIVATE),
]


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
    left = passed(reply, asked, site=SITE, policy=policy, settings=settings, head=HEAD)
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


def refused(
    kind: str, told: RecordDict, settings: dict[str, Any] = PLAIN, policy: Policy | None = None, model: Arrays = MODEL
) -> str:
    with pytest.raises(Refused) as caught:
        through(kind, told, settings, policy, model)
    reason = str(caught.value)
    assert "\n" not in reason
    assert len(reason) < 400
    return reason


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
    with pytest.raises(Refused, match="the reply has no ConfigRecord held"):
        passed(Message(told, reply_to=asked), asked, site=SITE, policy=Policy(), settings=PLAIN, head=HEAD)


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
    ]
    for item in forged:
        told.array_records[protocol.ARRAYS]["classifier.bias"] = item
        refused(protocol.TRAIN, told)
    told.array_records[protocol.ARRAYS]["classifier.bias"] = Array(array.dtype, array.shape, SECRET, array.data)
    left = through(protocol.TRAIN, told).array_records[protocol.ARRAYS]["classifier.bias"]
    assert left.stype == "numpy.ndarray"  # it is written anew, whatever the app called it


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


@pytest.mark.parametrize("kind", [protocol.STATISTICS, protocol.EVALUATE])
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
    for kind in (protocol.EVALUATE, protocol.EVALUATE_TEST):
        refused(kind, RecordDict({protocol.METRICS: MetricRecord(SCORES | change)}))


def test_only_held_out_speakers_are_counted_one_by_one() -> None:
    two = SCORES | {protocol.CONFUSION: [1, 1, 0, 0, 2, 0, 0, 0, 1] + [0] * 8 + [1]}
    told = RecordDict({protocol.METRICS: MetricRecord(two)})
    through(protocol.EVALUATE_TEST, told)
    refused(protocol.EVALUATE, told)
    seven = SCORES | {protocol.CONFUSION: [6, *([0] * (7 * 9 - 1))]}  # more groups than recordings
    refused(protocol.EVALUATE_TEST, RecordDict({protocol.METRICS: MetricRecord(seven)}))
    for model in ({}, {"classifier.bias": np.zeros(())}, {"classifier.bias": np.zeros(1)}):
        refused(protocol.EVALUATE, content(protocol.EVALUATE), model=model)


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


def test_an_errors_text_does_not_leave_and_is_not_in_the_reason() -> None:
    asked = Message(RecordDict({protocol.CONFIG: ConfigRecord()}), 5, protocol.TRAIN)
    reply = Message(Error(2, f"/data/{SECRET}.wav is broken"), reply_to=asked)
    with pytest.raises(Refused) as caught:
        passed(reply, asked, site=SITE, policy=Policy(), settings=PLAIN, head=HEAD)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", [protocol.STATISTICS, protocol.EVALUATE, protocol.EVALUATE_TEST])
def test_the_gate_asks_the_policy_too(kind: str) -> None:
    none = Policy(outbound=OutboundPolicy(allow_statistics=False, allow_validation=False, allow_test=False))
    refused(kind, content(kind), policy=none)
    refused("query.shell", content(protocol.HELLO))


def test_a_reply_to_something_else_is_refused() -> None:
    content_asked = RecordDict({protocol.CONFIG: ConfigRecord()})
    asked, other = Message(content_asked, 5, protocol.TRAIN), Message(content_asked, 5, protocol.HELLO)
    reply = Message(content(protocol.HELLO), reply_to=other)
    with pytest.raises(Refused):
        passed(reply, asked, site=SITE, policy=Policy(), settings=PLAIN, head=HEAD)


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
