from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from common.config.settings import Config, FeatureConfig, ModelConfig
from common.features.extractor import dimension, names
from common.models.architectures import build_model
from common.models.contours import Columns, Contours

LAYOUT = FeatureConfig(mfcc=9, stack=3)
FEATURES = dimension(LAYOUT)
SINGLE = names(FeatureConfig(mfcc=9, stack=1))


def frames(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, FEATURES, generator=torch.Generator().manual_seed(seed)).cumsum(0)


def test_contours_are_the_first_cepstra_and_what_comes_once() -> None:
    columns = Columns.of(FEATURES, LAYOUT)
    assert columns.stack == 3
    assert [SINGLE[i] for i in columns.contours] == [
        *(f"mfcc_{i}@25" for i in range(7)),
        *("energy@25", "centroid@25", "rolloff@25", "flux@25", "zero_crossing@25", "f0", "voicing"),
    ]
    assert not any(SINGLE[i].startswith("delta") for i in columns.statics)
    assert len(columns.statics) == 16


def test_of_a_sites_own_matrices_the_first_columns_are_taken() -> None:
    assert Columns.of(20, LAYOUT) == Columns(stack=1, statics=tuple(range(20)), contours=tuple(range(14)))
    assert Columns.of(5, LAYOUT).contours == (0, 1, 2, 3, 4)


def test_figures_are_correlations_likeness_courses_and_the_length() -> None:
    contours, utterance = Contours(FEATURES, LAYOUT), frames(20)
    single = utterance.reshape(60, -1).double().numpy()
    chosen, statics = single[:, contours.columns.contours], single[:, contours.columns.statics]
    correlations = np.corrcoef(chosen.T)[np.triu_indices(14, 1)]
    z = (statics - statics.mean(0)) / statics.std(0)
    autocorrelation = (z[1:] * z[:-1]).sum(0) / 59
    zc = (chosen - chosen.mean(0)) / chosen.std(0)
    time = (np.arange(60) + 0.5) / 60
    courses = [(zc * np.cos(math.pi * j * time)[:, None]).mean(0) for j in range(1, 5)]
    expected = np.concatenate([correlations, autocorrelation, *courses, [math.log(60 / 300)]])
    found = contours.of(utterance)
    assert found.shape == (1, contours.width) == (1, 91 + 16 + 56 + 1)
    assert found[0].numpy() == pytest.approx(expected, abs=1e-4)


def test_neither_a_level_nor_a_scale_nor_padding_changes_them() -> None:
    contours, utterance = Contours(FEATURES, LAYOUT), frames(20)
    single = utterance.reshape(60, -1)
    moved = (single * torch.linspace(0.1, 30, single.shape[1]) + 7).reshape(20, -1)
    assert torch.allclose(contours.of(moved), contours.of(utterance), atol=1e-3)
    padded = torch.cat([utterance, torch.full((5, FEATURES), 1e3)])
    mask = torch.arange(25)[None] < 20
    assert torch.allclose(contours.figures(padded[None], mask), contours.of(utterance), atol=1e-4)


@pytest.mark.parametrize("rows", [1, 2])
def test_constant_and_very_short_utterances_give_finite_figures(rows: int) -> None:
    contours = Contours(FEATURES, LAYOUT)
    for utterance in (torch.ones(rows, FEATURES), torch.zeros(rows, FEATURES), frames(rows)):
        assert torch.isfinite(contours.of(utterance)).all()
    alone = Contours(4, LAYOUT)
    assert torch.isfinite(alone.of(torch.ones(1, 4))).all()


def test_figures_made_once_give_the_logits_of_the_frames() -> None:
    config = Config(features=LAYOUT, model=ModelConfig(hidden=0, dropout=0.0, statistics="contours"))
    model, ready = build_model(FEATURES, 3, config), build_model(FEATURES, 3, config, precomputed=True)
    ready.load_state_dict(model.state_dict())
    assert model.statistics is not None
    utterances = [frames(rows, seed=rows) for rows in (9, 4, 30)]
    made = torch.stack([model.statistics.of(utterance) for utterance in utterances])
    alone = torch.cat([model(utterance[None], torch.tensor([len(utterance)])) for utterance in utterances])
    assert torch.allclose(ready(made, torch.ones(3, dtype=torch.int64)), alone, atol=1e-6)


def test_what_the_classifier_sees_has_length_1_about_the_centre() -> None:
    contours, utterance = Contours(FEATURES, LAYOUT), frames(20)
    mask = torch.ones(1, 20, dtype=torch.bool)
    seen = contours(utterance[None], mask)
    assert float(seen.norm()) == pytest.approx(1.0, abs=1e-6)
    contours.centre.copy_(contours.of(utterance)[0])
    assert float(contours(utterance[None], mask).norm()) == pytest.approx(0.0, abs=1e-6)
