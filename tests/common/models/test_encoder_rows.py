from __future__ import annotations

import dataclasses

import pytest
import torch

from common.config.sections import EncoderConfig, FeatureConfig, ModelConfig
from common.config.settings import Config
from common.models.architectures import build_model
from common.models.encoder_rows import LayerMix, RowMean


def test_a_row_is_taken_about_the_centre_and_has_length_one() -> None:
    rows = RowMean(2)
    with torch.no_grad():
        rows.centre.copy_(torch.tensor([1.0, 0.0]))
    seen = rows(torch.tensor([[[4.0, 4.0]]]), torch.ones(1, 1, dtype=torch.bool))
    torch.testing.assert_close(seen, torch.tensor([[0.6, 0.8]]))


def test_padding_counts_for_nothing_and_far_off_numbers_for_little() -> None:
    rows, two = RowMean(1), torch.tensor([[[1.0], [3.0], [99.0]]])
    assert rows.figures(two, torch.tensor([[True, True, False]])).item() == 2.0
    assert rows.figures(two, torch.tensor([[False, False, True]])).item() == 5.0
    assert rows.of(torch.tensor([[1.0], [3.0]])).tolist() == [[2.0]]


def test_precomputed_rows_are_those_of_the_frames() -> None:
    batch, mask = torch.randn(3, 1, 5), torch.ones(3, 1, dtype=torch.bool)
    made = torch.stack([RowMean(5).of(rows) for rows in batch])
    assert torch.equal(RowMean(5, precomputed=True)(made, mask), RowMean(5)(batch, mask))


def test_layers_are_weighed_and_what_stands_beside_stays() -> None:
    mix = LayerMix(2, 5, 1)
    batch = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 7.0]]])
    assert mix(batch).tolist() == [[[2.0, 3.0, 7.0]]]
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.0, torch.inf]).clamp_max(50.0))
    torch.testing.assert_close(mix(batch), torch.tensor([[[3.0, 4.0, 7.0]]]))


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("pool", ["statistics", "frames"])
def test_the_weights_of_layers_are_trained(beside: bool, pool: str) -> None:
    encoder = EncoderConfig(sha256="ab" * 32, layer="weighted", layers=3, width=4, pool=pool, beside=beside)
    kind = ModelConfig(kind="linear", hidden=0, statistics="rows", dropout=0.0)
    config = dataclasses.replace(Config(), features=FeatureConfig(encoder=encoder), model=kind)
    width = 3 * 4 * (2 if pool == "statistics" else 1) + (10 if beside else 0)
    model = build_model(width, 2, config)
    model(torch.randn(4, 6, width), torch.tensor([6, 1, 3, 2])).sum().backward()
    assert model.mix is not None
    assert model.mix.weights.grad is not None


def test_a_private_runs_model_is_as_wide_as_its_components() -> None:
    encoder = EncoderConfig(sha256="ab" * 32, layer="1", layers=1, width=8, components=3)
    base = Config().with_values({"data.normalise": "public", "model.hidden": 0, "model.statistics": "rows"})
    config = dataclasses.replace(base, features=FeatureConfig(encoder=encoder))
    assert build_model(16, 2, config).classifier.in_features == 3
