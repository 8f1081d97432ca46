"""A server that wants to know: it chooses settings, model and scaling, and reads what comes back of single people."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client import deployed
from client.app import app
from client.deployed import open_deployed
from client.node.flower.supernode import of_policy
from client.node.gate import outbound
from client.node.gate.outbound import Refused
from client.node.policy import inbound
from client.node.policy.clauses import BundlePolicy, DataPolicy, OutboundPolicy
from client.node.policy.document import Policy
from common import protocol
from common.config.settings import Config, flatten
from common.data.normalise import Scaling
from common.models.architectures import build_model
from common.privacy.recipe import private_settings
from common.storage.hash_chain import Head
from tests.client.deployment import node
from tests.simulations import tiny

BUNDLE = "ab" * 32
POLICY = Policy(bundle=BundlePolicy(hashes=(BUNDLE,)), data=DataPolicy(classes=tiny.CLASSES))
ONE_BY_ONE = dataclasses.replace(POLICY, outbound=OutboundPolicy(allow_test_speakers=True))
MODEL = {"model.kind": "linear", "model.hidden": 0, "model.statistics": "means", "data.normalise": "public"}
UNITS = ("utterance", "speaker", "site")
FAR = 1e4  # a deviation next to which what is scaled by it is nothing
PATIENT = "01"


def refuses(asked: Message, policy: Policy, config: Config) -> str | None:
    """Why the node hands a message of a run on to no app."""
    kind, about = asked.metadata.message_type, dict(asked.content.config_records[protocol.CONFIG])
    return (
        policy.refusal(BUNDLE, config)
        or policy.message_refusal(kind, about)
        or inbound.fault(kind, asked.content, config)
    )


class Curious:
    """A server and one site of it: its real policy, app and gate.

    Args:
        folder: where the site's recordings lie.
        policy: the site's.
        guarded: whether the node looks at what is asked; else the app is asked at once, and the gate passes its answer.
    """

    def __init__(self, folder: Path, policy: Policy = POLICY, *, guarded: bool = True) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.folder, self.policy, self.guarded = folder, policy, guarded

    def answered(self, asked: Message, config: Config) -> Message:
        """What the app alone makes of a message."""
        deployed._open.clear()
        settings = {**flatten(config), **dict.fromkeys(protocol.RUN_KEYS, "")}
        own = node(self.folder, "s0") | of_policy(self.policy)
        return app(asked, Context(1, 1, own, RecordDict(), settings))

    def ask(self, kind: str, config: Config, **records: Any) -> RecordDict | None:
        """What leaves in answer; None where nothing does."""
        asked = Message(RecordDict({**records, protocol.CONFIG: ConfigRecord()}), 1, kind)
        if self.guarded and refuses(asked, self.policy, config):
            return None
        reply = self.answered(asked, config)
        try:
            return outbound.passed(
                reply, asked, site="s0", policy=self.policy, config=config, head=Head(entries=1, hash="ab" * 32)
            )
        except Refused:
            return None


def site(folder: Path, rows: dict[str, str]) -> list[dict[str, str]]:
    """Recordings of six people at one site; ``rows`` says which emotion of a held-out person there is."""
    path = tiny.write(folder / "s0", speakers=6, each=4)
    with path.open(newline="") as file:
        every = list(csv.DictReader(file))
    kept = [row for row in every if row["speaker"] not in rows]
    for speaker, emotion in rows.items():
        first = next(row for row in every if (row["speaker"], row["emotion"]) == (speaker, emotion))
        kept.append({**first, "split": "test"})
    write(path, kept)
    return kept


def write(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "emotion", "speaker", "split"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def config_of(unit: str, classes: tuple[str, ...] = tiny.CLASSES, **more: Any) -> Config:
    """A run's settings, private for each unit or, without one, not private."""
    private = {"privacy.epsilon": 8.0, "privacy.unit": unit} if unit else {}
    return Config().with_values(private_settings({**MODEL, **private, "data.classes": list(classes), **more}))


def mirror(config: Config, feature: int) -> dict[str, ArrayRecord]:
    """A model whose first logit is one feature's mean, and a scaling under which all else is the same everywhere."""
    model = {name: np.zeros(array.shape, np.float32) for name, array in build_model(6, 4, config).state_dict().items()}
    model["classifier.weight"][0, feature] = FAR / 2 * math.sqrt(6) * 4 * 0.85
    scaling = {"mean": np.zeros(6, np.float32), "deviation": np.full(6, FAR, np.float32)}
    records = {protocol.ARRAYS: model, protocol.SCALING: scaling}
    return {key: ArrayRecord({n: Array(a) for n, a in sorted(own.items())}) for key, own in records.items()}


def read_mean(left: RecordDict | None) -> float | None:
    """One recording's mean of a feature, from the loss under ``mirror``; None where nothing tells it."""
    metrics: Any = left.metric_records.get(protocol.METRICS, {}) if left is not None else {}
    if protocol.LOSS not in metrics:
        return None
    right = math.exp(-metrics[protocol.LOSS])
    return math.log(3 * right / (1 - right))


def sides(left: RecordDict | None) -> list[bool]:
    """Of each table of counts of one recording: whether it was taken for the first class."""
    metrics: Any = left.metric_records.get(protocol.METRICS, {}) if left is not None else {}
    tables = np.array(metrics.get(protocol.CONFUSION, []), dtype=int).reshape(-1, 4, 4)
    return [bool(table[:, 0].sum()) for table in tables if table.sum() == 1]


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("policy", [POLICY, ONE_BY_ONE])
@pytest.mark.parametrize("unit", UNITS)
def test_nothing_of_a_held_out_patient_is_read_in_a_private_run(
    tmp_path: Path, unit: str, policy: Policy, guarded: bool
) -> None:
    """Where it was answered, four questions read four means of one patient's features to five digits."""
    site(tmp_path, {PATIENT: "anger", "02": "neutral"})
    curious, config = Curious(tmp_path, policy, guarded=guarded), config_of(unit)
    for feature in range(4):
        sent = mirror(config, feature)
        assert curious.ask(protocol.EVALUATE_TEST, config, **sent) is None
        content = RecordDict({**sent, protocol.CONFIG: ConfigRecord()})
        assert curious.answered(Message(content, 1, protocol.EVALUATE_TEST), config).has_error()


@pytest.mark.parametrize("unit", UNITS)
def test_how_sure_a_model_is_of_validation_patients_is_not_told_in_a_private_run(tmp_path: Path, unit: str) -> None:
    """Neither the node, nor the app, nor the gate lets it: each by itself."""
    site(tmp_path, {})
    private, plain = config_of(unit), config_of("")
    sent = mirror(private, 0)
    told = Curious(tmp_path).ask(protocol.EVALUATE_CONFIDENCE, plain, **sent)
    assert told is not None
    asked = Message(RecordDict({**sent, protocol.CONFIG: ConfigRecord()}), 1, protocol.EVALUATE_CONFIDENCE)
    assert "how sure the model is of validation speakers may not leave" in str(refuses(asked, POLICY, private))
    assert Curious(tmp_path).answered(asked, private).has_error()
    reply = Message(told, reply_to=asked)
    with pytest.raises(Refused, match="the run is private, how sure the model is of validation speakers may not leave"):
        outbound.passed(reply, asked, site="s0", policy=POLICY, config=private, head=Head(entries=1, hash="ab" * 32))


def test_how_far_a_scaling_adapts_to_people_that_are_counted_together_is_not_told(tmp_path: Path) -> None:
    """It hangs on how much each said: by a far prior a model can sort people, and a column has one person's labels."""
    site(tmp_path, {PATIENT: "anger", "02": "neutral"})
    config = config_of("").with_values({"data.normalise": "running"})
    left = Curious(tmp_path).ask(protocol.EVALUATE_TEST, config, **mirror(config, 0))
    assert left is not None
    assert set(left[protocol.METRICS]) == {protocol.EXAMPLES, protocol.SPEAKERS, protocol.after("0")}
    open_left = Curious(tmp_path, ONE_BY_ONE).ask(protocol.EVALUATE_TEST, config, **mirror(config, 0))
    assert open_left is not None
    assert {protocol.CONFUSION, protocol.after("2"), protocol.after("8")} < set(open_left[protocol.METRICS])


def test_without_privacy_no_loss_and_no_single_patients_counts_are_read(tmp_path: Path) -> None:
    rows = site(tmp_path, {PATIENT: "anger", "02": "neutral"})
    config = config_of("")
    left = Curious(tmp_path).ask(protocol.EVALUATE_TEST, config, **mirror(config, 0))
    assert left is not None
    assert (read_mean(left), sides(left)) == (None, [])
    open_left = Curious(tmp_path, ONE_BY_ONE).ask(protocol.EVALUATE_TEST, config, **mirror(config, 0))
    held = [np.load(tmp_path / "s0" / row["path"])[:, 0].mean() for row in rows if row["split"] == "test"]
    assert read_mean(open_left) is None
    assert sides(open_left) == [bool(mean > 0) for mean in held]  # what the policy then allows


def test_a_patient_who_is_alone_is_not_counted(tmp_path: Path) -> None:
    site(tmp_path, {PATIENT: "anger"})
    config = config_of("")
    for policy in (POLICY, ONE_BY_ONE):
        assert Curious(tmp_path, policy).ask(protocol.EVALUATE_TEST, config, **mirror(config, 0)) is None


def test_the_mirror_shows_the_patients_means(tmp_path: Path) -> None:
    """What the attack would read, did the loss leave: at the site itself it does read it."""
    [row] = [row for row in site(tmp_path, {PATIENT: "anger"}) if row["split"] == "test"]
    config = config_of("")
    own = open_deployed({**flatten(config), **dict.fromkeys(protocol.RUN_KEYS, "")}, node(tmp_path, "s0"))
    for feature in range(4):
        sent = mirror(config, feature)
        own.model.load_state_dict({name: torch.from_numpy(a.numpy()) for name, a in sent[protocol.ARRAYS].items()})
        mean, deviation = (torch.from_numpy(sent[protocol.SCALING][name].numpy()) for name in ("mean", "deviation"))
        scores = own.score_held_out(own.model, Scaling(mean=mean, deviation=deviation)).known
        told = RecordDict({protocol.METRICS: MetricRecord({protocol.LOSS: scores.loss})})
        assert read_mean(told) == pytest.approx(np.load(tmp_path / "s0" / row["path"])[:, feature].mean(), abs=2e-3)


def held_counts(curious: Curious, config: Config) -> int | None:
    """How many recordings the site says that it trains on; None where it says nothing."""
    left = curious.ask(protocol.HELLO, config)
    return None if left is None else int(str(left.config_records[protocol.CONFIG][protocol.EXAMPLES]))


def histogram(curious: Curious, unit: str, **more: Any) -> dict[str, int]:
    """How many recordings have each label, from the counts of runs that tell apart three of the classes each."""
    whole = {left: held_counts(curious, config_of(unit, left, **more)) for left in combinations(tiny.CLASSES, 3)}
    every = held_counts(curious, config_of(unit, **more))
    found = {}
    for left, count in whole.items():
        if every is not None and count is not None:
            [name] = set(tiny.CLASSES) - set(left)
            found[name] = every - count
    return found


@pytest.mark.parametrize("unit", ["", "utterance"])
def test_no_difference_of_two_hellos_tells_how_many_recordings_have_a_label(tmp_path: Path, unit: str) -> None:
    """Where each was answered, it was the histogram: what would leave, did the policy name other classes each time."""
    rows = site(tmp_path, {PATIENT: "anger"})[:-9]
    write(tmp_path / "s0/manifest.csv", rows)
    none: Any = {"data.validation": "none"}
    curious = Curious(tmp_path)
    assert held_counts(curious, config_of(unit, **none)) == len(rows)
    assert histogram(curious, unit, **none) == {}
    assert {held_counts(curious, config_of(unit, left, **none)) for left in combinations(tiny.CLASSES, 2)} == {None}
    unguarded = histogram(Curious(tmp_path, guarded=False), unit, **none)
    assert unguarded == Counter(row["emotion"] for row in rows)


def test_the_order_of_the_classes_is_the_runs_own(tmp_path: Path) -> None:
    site(tmp_path, {PATIENT: "anger"})
    assert held_counts(Curious(tmp_path), config_of("utterance", tiny.CLASSES[::-1])) is not None
