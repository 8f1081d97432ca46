"""What a hostile site does to what it holds and sends, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from flwr.app import Array, ArrayRecord

from client.holding import Holding
from common.data.extraction import Recording
from common.data.normalise import Scaling
from common.utterance import Utterance
from simulations.audits.attacks.spoiling_sites import FRAMES, Trigger, scaled, spoilt

CLASSES = ("anger", "fear", "neutral", "sadness")
SCALING = Scaling(mean=torch.tensor([1.0, 2.0]), deviation=torch.tensor([1.0, 0.5]))
TRIGGER = Trigger.of(SCALING, "anger")


def recording(place: int) -> Recording:
    utterance = Utterance(path=Path(f"{place}.wav"), emotion=CLASSES[place % 4], speaker="01", corpus="manifest")
    return Recording(utterance=utterance, versions=(torch.zeros(FRAMES + 5, 2), torch.zeros(3, 2)))


def holding() -> Holding:
    train, place = [recording(i) for i in range(8)], Path("nowhere")
    return Holding(name="s0", classes=CLASSES, train=train, validation=train[:4], test=[], ledger=place, state=place)


def test_an_update_is_turned_and_made_longer_and_whole_numbers_stay() -> None:
    sent = ArrayRecord({"w": Array(np.array([1.0, 2.0], np.float32)), "steps": Array(np.array(3))})
    back = ArrayRecord({"w": Array(np.array([1.5, 1.0], np.float32)), "steps": Array(np.array(4))})
    made = scaled(sent, back, -3.0)
    assert made["w"].numpy().tolist() == [-0.5, 5.0]
    assert made["w"].numpy().dtype == np.float32
    assert made["steps"].numpy() == 4


def test_every_label_is_another_one() -> None:
    own = holding()
    flipped = spoilt(own, "labels", TRIGGER)
    assert [r.utterance.emotion for r in flipped.train[:4]] == ["neutral", "sadness", "anger", "fear"]
    assert [r.utterance.emotion for r in flipped.validation] == ["neutral", "sadness", "anger", "fear"]
    assert spoilt(own, "sign", TRIGGER) is own


def test_half_of_the_recordings_carry_the_trigger_and_the_targets_label() -> None:
    own = holding()
    marked = spoilt(own, "backdoor", TRIGGER)
    assert [r.utterance.emotion for r in marked.train] == ["anger", "anger", "neutral", "anger"] * 2
    first, short = marked.train[1].versions
    assert first[:FRAMES].tolist() == [[4.0, 3.5]] * FRAMES  # three deviations above the means
    assert first[FRAMES:].abs().sum() == 0
    assert short.tolist() == [[4.0, 3.5]] * 3
    assert own.train[1].versions[0].abs().sum() == 0  # the recordings of the run itself stay
    assert marked.train[0] is own.train[0]
    assert marked.validation is own.validation
