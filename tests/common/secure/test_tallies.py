from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import Array

from common import protocol
from common.errors import FederationError
from common.secure.tallies import beside_update, layout_of_tally, layout_of_update, numbers_told, tally_of

CLASSES = 2


def told(kind: str, *replies: dict[str, Any], features: int = 0) -> dict[str, list[float]]:
    """What some sites' replies come to, by way of their words."""
    layout = layout_of_tally(kind, features=features, classes=CLASSES)
    sites = [tally_of(kind, reply, classes=CLASSES, weight=3) for reply in replies]
    words = sum(layout.words(np.zeros(0), own, 1, 1) for own in sites)
    assert isinstance(words, np.ndarray)
    return numbers_told(layout.read(words, 1, 1)[1])


def test_sums_of_features_are_added_up() -> None:
    sums = {"total": Array(np.array([1.5, -2.0])), "square": Array(np.array([1e12, 0.25]))}
    reply = {protocol.ARRAYS: sums, protocol.METRICS: {protocol.FRAMES: 7, protocol.MATRICES: 1}}
    assert told(protocol.STATISTICS, reply, reply, features=2) == {
        "total": [3.0, -4.0],
        "square": [2e12, 0.5],
        protocol.FRAMES: [14.0],
        protocol.MATRICES: [6.0],
    }


def test_who_has_nothing_to_score_adds_zeros() -> None:
    own = {protocol.EXAMPLES: 3, protocol.LOSS: 1.25, protocol.CONFUSION: [1, 0, 1, 1]}
    none = {protocol.METRICS: {protocol.EXAMPLES: 0}}
    assert told(protocol.EVALUATE, {protocol.METRICS: own}, none) == {
        protocol.EXAMPLES: [3.0],
        protocol.LOSS: [1.25],
        protocol.CONFUSION: [1.0, 0.0, 1.0, 1.0],
    }


def test_held_out_speakers_are_counted_all_together() -> None:
    each = {protocol.EXAMPLES: 3, protocol.SPEAKERS: 2, protocol.CONFUSION: [1, 0, 0, 0, 0, 1, 0, 1]}
    found = told(protocol.EVALUATE_TEST, {protocol.METRICS: each})
    assert found[protocol.CONFUSION] == [1.0, 1.0, 0.0, 1.0]
    assert found[protocol.after("2")] == [0.0] * 4


def test_more_numbers_than_there_should_be_are_refused() -> None:
    with pytest.raises(FederationError, match="3 numbers are to be added up, expected 4"):
        told(protocol.EVALUATE, {protocol.METRICS: {protocol.EXAMPLES: 3, protocol.CONFUSION: [1, 1, 1]}})


@pytest.mark.parametrize("refit", [False, True])
def test_beside_an_update_ride_its_loss_and_how_the_model_that_came_in_does(refit: bool) -> None:
    figures = {protocol.LOSS: 0.5, protocol.CONFUSION: [4, 0, 0, 1], protocol.VALIDATION_EXAMPLES: 5}
    layout = layout_of_update(2, CLASSES, refit=refit)
    words = layout.words(np.array([0.25, -0.5]), beside_update(figures, CLASSES, refit=refit), 1, 1)
    update, beside = layout.read(words, 1, 1)
    assert (update.tolist(), dict(beside.means)) == ([0.25, -0.5], {protocol.LOSS: 0.5})
    expected = {protocol.CONFUSION: [4, 0, 0, 1], protocol.VALIDATION_EXAMPLES: [5], protocol.VALIDATION_LOSS: [0]}
    assert numbers_told(beside) == ({} if refit else expected)
