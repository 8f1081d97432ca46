from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common.config.kinds import CENTRE, KINDS
from common.config.settings import Config
from common.features.extractor import dimension
from common.models.architectures import build_model
from common.models.bilstm import BiLSTM
from common.models.bilstm_attention import AttentiveBiLSTM, AttentiveLSTM, AttentiveStatistics
from common.models.cnn1d import Convolutional
from common.models.crnn3d import ConvolutionalRecurrent
from common.models.dscnn import SeparableConvolutional
from common.models.linear import LinearModel
from common.models.model import EmotionModel
from common.models.transformer import Transformer

CLASSES, FEATURES = 3, dimension(Config().features)
SMALL = {"model.projection": 6, "model.hidden": 5, "model.attention": 4, "model.heads": 2}


def model(**more: Any) -> EmotionModel:
    config = Config().with_values({**SMALL, **{f"model.{name}": value for name, value in more.items()}})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return build_model(dimension(config.features), CLASSES, config)


def inputs_of(own: EmotionModel) -> int:
    """How many numbers the first layer sees at once."""
    if isinstance(own, ConvolutionalRecurrent):
        return len(own.planes)
    return own.statistics.width if own.kind.figures_alone and own.statistics else FEATURES


@pytest.mark.parametrize(
    ("kind", "hidden", "expected"),
    [
        ("bilstm", 5, AttentiveBiLSTM),
        ("bilstm", 0, LinearModel),
        ("lstm", 5, AttentiveLSTM),
        ("transformer", 5, Transformer),
        ("cnn1d", 5, Convolutional),
        ("cnn1d", 0, LinearModel),
        ("crnn3d", 5, ConvolutionalRecurrent),
        ("crnn3d", 0, LinearModel),
        ("dscnn", 5, SeparableConvolutional),
        ("linear", 5, LinearModel),
        ("linear", 0, LinearModel),
    ],
)
def test_no_hidden_units_make_a_linear_model_whatever_the_kind(
    kind: str, hidden: int, expected: type[EmotionModel]
) -> None:
    assert type(model(kind=kind, hidden=hidden, statistics="means")) is expected


@pytest.mark.parametrize("statistics", ["means", "contours"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_which_of_its_arrays_tells_what(kind: str, statistics: str) -> None:
    own = model(kind=kind, statistics=statistics)
    assert own.kind is KINDS[kind]
    arrays = own.state_dict()
    assert arrays[own.kind.output_bias].shape == (CLASSES,)
    assert (CENTRE in arrays) == (statistics == "contours")
    first = [name for name in arrays if name.startswith(own.kind.first_layer)]
    assert any(inputs_of(own) in arrays[name].shape for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_bias_moves_the_logits_and_nothing_else_does_it_alike(kind: str) -> None:
    own = model(kind=kind, statistics="means").eval()
    width = dimension(Config().with_values({"model.kind": kind, "model.statistics": "means"}).features)
    frames, lengths = torch.randn(2, 9, width), torch.tensor([9, 4])
    before = own(frames, lengths)
    with torch.no_grad():
        own.get_parameter(own.kind.output_bias).add_(torch.tensor([1.0, 2.0, 3.0]))
    moved = own(frames, lengths) - before
    assert torch.allclose(moved, torch.tensor([[1.0, 2.0, 3.0]]).expand(2, 3), atol=1e-5)


@pytest.mark.parametrize("statistics", ["none", "means"])
def test_the_layers_take_the_seeds_numbers_in_their_order(statistics: str) -> None:
    own = model(statistics=statistics).state_dict()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers: dict[str, nn.Module] = {
            "projection": nn.Linear(FEATURES, 6),
            "norm": nn.LayerNorm(6),
            "lstm": BiLSTM(6, 5),
            "pool": AttentiveStatistics(10, 4),
            "classifier": nn.Linear(20 + (2 * FEATURES if statistics == "means" else 0), CLASSES),
        }
    expected: dict[str, Tensor] = dict(nn.ModuleDict(layers).state_dict())
    assert list(own) == list(expected)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in own.items())
