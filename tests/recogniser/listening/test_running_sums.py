"""Rows, speech and scaling are those of training, to the last digit that matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from common.config.settings import FeatureConfig
from common.data import heard, normalise
from common.features.extractor import extract, names
from common.features.speech_gate import speech_rows
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.running_sums import Layout, Scaling, Sums, adapted
from tests.recogniser.speech import talk


def test_rows_are_those_of_training(model: ExportedModel) -> None:
    sound = talk(0)
    expected = extract(torch.from_numpy(sound), FeatureConfig()).numpy()
    found = model.layout.rows(model.frames(sound))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-3)  # dB; the front's own tests are closer


@pytest.mark.parametrize(
    "more", [{}, {"energy": False}, {"energy": False, "mfcc": 0, "log_mel": 8}, {"windows": (25, 50)}]
)
@pytest.mark.parametrize("stack", [1, 3])
def test_speech_is_that_of_training(more: dict[str, Any], stack: int) -> None:
    single, config = FeatureConfig(stack=1, **more), FeatureConfig(stack=stack, **more)
    rows = extract(torch.from_numpy(talk(0)), config)
    expected = rows[speech_rows(rows, config)].numpy()
    found = Layout(columns=tuple(names(single)), stack=stack).speech(rows.numpy())
    assert 0 < len(found) < len(rows)
    np.testing.assert_array_equal(found, expected)


def test_no_level_no_gate() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    assert len(Layout(columns=("f0", "voicing"), stack=1).speech(rows)) == 5


def test_a_scaling_is_that_of_training() -> None:
    rows = np.random.default_rng(0).normal(3, 2, size=(40, 4)).astype(np.float32)
    rows[:, 3] = 7  # constant: only centred
    mean, deviation = np.array([1, 2, 3, 7], np.float32), np.array([1, 2, 3, 0], np.float32)
    prior = normalise.Scaling(mean=torch.from_numpy(mean), deviation=torch.from_numpy(deviation), weight=30.0)
    own = torch.from_numpy(rows).double()
    expected = heard.adapted(prior, normalise.Sums(frames=40, total=own.sum(0), square=own.square().sum(0)))
    found = adapted(Scaling(mean=mean, deviation=deviation, rows=30.0), Sums.of(rows[:15]) + Sums.of(rows[15:]))
    np.testing.assert_array_equal(found.mean, expected.mean.numpy())
    np.testing.assert_array_equal(found.deviation, expected.deviation.numpy())
    assert found.deviation[3] == 1


def test_nothing_heard_is_the_prior() -> None:
    prior = Scaling(mean=np.ones(2, np.float32), deviation=np.full(2, 3, np.float32), rows=10.0)
    assert adapted(prior, Sums.none(2)) is prior
