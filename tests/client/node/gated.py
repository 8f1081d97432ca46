"""What an honest app answers to each message, and what the gate makes of it."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.node.gate.outbound import Refused, passed
from client.node.policy.document import Policy
from common import protocol
from common.config.run_config import parse_run_config
from common.config.settings import Config, flatten
from common.storage.hash_chain import Head

TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1  # without it Flower makes no message

SITE, CLASSES = "st-mary", ["anger", "neutral", "sadness"]
HEAD = Head(entries=7, hash="ab" * 32)
LEDGER: dict[str, Any] = {protocol.LEDGER_ENTRIES: 3, protocol.LEDGER_HASH: "cd" * 32}
PLAIN = {**flatten(Config()), "data.classes": ",".join(CLASSES), protocol.PLAN: "runs/x/plan.json"}
PRIVATE = PLAIN | {"privacy.epsilon": 8.0}
SPEAKERS = PRIVATE | {"privacy.unit": "speaker"}
SECRET = "patient_0042"


@functools.cache
def _read_once(settings: str) -> Config:
    return parse_run_config(json.loads(settings))


def config_of(settings: dict[str, Any]) -> Config:
    """A run's settings as they are checked, of the same few runs again and again."""
    return _read_once(json.dumps(settings))


Arrays = dict[str, np.ndarray[Any, Any]]
MODEL: Arrays = {
    "classifier.bias": np.zeros(3, np.float32),
    "classifier.weight": np.zeros((3, 2), np.float32),
    "steps": np.array(0),
}
TRAINED: Arrays = {name: np.asarray(values + 1) for name, values in MODEL.items()}
TRAIN_METRICS: Any = {protocol.EXAMPLES: 40, protocol.LOSS: 1.5, protocol.SECONDS: 2.0}
SCORES: Any = {protocol.EXAMPLES: 6, protocol.LOSS: 7.5, protocol.CONFUSION: [1, 1, 0, 0, 2, 0, 0, 0, 2]}
SURE: Any = {
    protocol.EXAMPLES: 6,
    protocol.LOSSES: [7.5] * len(protocol.TEMPERATURES),
    protocol.RIGHT: [*[0] * 15, 1, 1, 1, 1, 1],
    protocol.WRONG: [*[0] * 8, 1, *[0] * 11],
}
FIRST = protocol.after("0")
TEST_SCORES: Any = {protocol.EXAMPLES: 6, FIRST: SCORES[protocol.CONFUSION], protocol.SPEAKERS: 3}  # as of strangers
FIGURES: dict[str, Any] = {
    "epsilon": 1.5,
    "epsilon_total": 2.5,
    "epsilon_rdp": 1.7,
    "delta": 1e-5,
    "noise_multiplier": 1.1,
    "steps": 30,
    "sample_rate": 0.2,
    "budget": None,
    "budget_unit": "utterance",
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
    protocol.ENCODER: "",
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
            {protocol.ARRAYS: sums, protocol.METRICS: MetricRecord({protocol.FRAMES: 900, protocol.MATRICES: 0})}
        ),
        protocol.CLASSES_HELD: RecordDict(
            {protocol.METRICS: MetricRecord({protocol.EXAMPLES: 40, protocol.COUNTS: [20, 15, 5]})}
        ),
        protocol.TRAIN: RecordDict(update),
        protocol.EVALUATE: RecordDict({protocol.METRICS: MetricRecord(SCORES)}),
        protocol.EVALUATE_TEST: RecordDict({protocol.METRICS: MetricRecord(TEST_SCORES)}),
        protocol.EVALUATE_CONFIDENCE: RecordDict({protocol.METRICS: MetricRecord(SURE)}),
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
    return passed(reply, asked, site=SITE, policy=policy or Policy(), config=config_of(settings), head=HEAD)


def plain(records: RecordDict) -> dict[str, Any]:
    return {
        name: {key: value.numpy().tolist() if isinstance(value, Array) else value for key, value in record.items()}
        for name, record in records.items()
    }


HONEST = [
    *((kind, PLAIN) for kind in (protocol.HELLO, protocol.STATISTICS, protocol.TRAIN)),
    *((kind, PLAIN) for kind in (protocol.EVALUATE, protocol.EVALUATE_TEST, protocol.EVALUATE_CONFIDENCE)),
    *((kind, settings) for kind in (protocol.HELLO, protocol.TRAIN) for settings in (PRIVATE, SPEAKERS)),
    (protocol.PRIVACY, PRIVATE),
]


def refused(
    kind: str, told: RecordDict, settings: dict[str, Any] = PLAIN, policy: Policy | None = None, model: Arrays = MODEL
) -> str:
    with pytest.raises(Refused) as caught:
        through(kind, told, settings, policy, model)
    reason = str(caught.value)
    assert "\n" not in reason
    assert len(reason) < 400
    return reason
