from __future__ import annotations

import logging

import pytest
import torch

from common.config.units import SPEAKER, UTTERANCE, Unit
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.data.normalise import normalise, normalised
from common.data.unit_alone import emptied, prepare_alone
from tests.common.examples import random_recordings, recording

CLASSES = ("anger", "sadness")


def recordings() -> list[Recording]:
    return random_recordings(speakers=3, each=3, features=2, classes=CLASSES)


def refuse_threes(own: list[Recording]) -> list[Recording]:
    """Something that can't prepare a unit with a frame of threes."""
    if any(bool((version == 3.0).all()) for r in own for version in r.versions):
        raise ValueError("a three")
    return own


@pytest.mark.parametrize("unit", [UTTERANCE, SPEAKER])
@pytest.mark.parametrize("mode", ["utterance", "speaker"])
def test_sound_recordings_come_out_as_if_prepared_together(unit: Unit, mode: str) -> None:
    own = recordings()
    alone = prepare_alone(own, unit, CLASSES, 2, lambda some: normalised(some, mode))
    together = normalise(own, mode)
    if unit is SPEAKER or mode == "utterance":
        pairs = zip(alone, together, strict=True)
        assert all(torch.equal(a.versions[0], b.versions[0]) for a, b in pairs)
    assert [r.utterance for r in alone] == [r.utterance for r in own]


@pytest.mark.parametrize(("unit", "lost"), [(UTTERANCE, [4]), (SPEAKER, [3, 4, 5])])
def test_a_unit_that_raises_is_emptied_and_the_others_are_not(
    unit: Unit, lost: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    own = recordings()
    own[4] = Recording(utterance=own[4].utterance, versions=(torch.full((4, 2), 3.0),))
    with caplog.at_level(logging.CRITICAL):
        made = prepare_alone(own, unit, CLASSES, 2, refuse_threes)
    assert [place for place, r in enumerate(made) if not r.versions] == lost


@pytest.mark.parametrize(
    "odd",
    [
        recording(torch.ones(3, 2), "s1", "boredom"),
        recording(torch.ones(3, 5), "s1"),
        recording(torch.ones(3), "s1"),
        recording(torch.empty(0, 2), "s1"),
        recording(torch.full((3, 2), torch.nan), "s1"),
        recording(torch.ones(3, 2), "s1", "anger", torch.full((3, 2), torch.inf)),
        emptied(recording(torch.ones(3, 2), "s1")),
    ],
)
def test_a_recording_that_cannot_be_used_keeps_its_place_and_its_speakers_others_are_used(odd: Recording) -> None:
    own = recordings()
    own[4] = odd
    made = prepare_alone(own, SPEAKER, CLASSES, 2, lambda some: some)
    assert [len(r.versions) for r in made] == [1, 1, 1, 1, 0, 1, 1, 1, 1]
    data = SpeechDataset(made, CLASSES)
    assert len(data) == 9
    assert sorted(place for batch in data.in_order(2) for place in batch.index.tolist()) == [0, 1, 2, 3, 5, 6, 7, 8]
