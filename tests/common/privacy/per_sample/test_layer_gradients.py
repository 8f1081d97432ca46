"""Gradients by sample of whole models of each kind that a private run may have, against one backward pass a sample."""

from __future__ import annotations

import pytest
import torch
from opacus import GradSampleModule
from torch import Tensor, nn

from common.config.kinds import KINDS
from common.config.units import UNITS
from common.features.extractor import dimension
from common.models.frame_layers import ChannelScale, Depthwise
from common.privacy.judgements import JUDGEMENTS
from common.privacy.per_sample import layer_gradients
from common.privacy.per_sample.private_lstm import with_private_lstms
from tests.common.models.kinds import CLASSES, config_of, model_of

LENGTHS = torch.tensor([9, 4, 1, 6])


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("statistics", ["none", "means"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_the_gradient_of_that_recording_alone(kind: str, statistics: str, layers: int) -> None:
    if KINDS[kind].figures_alone and statistics == "none":
        return
    config = config_of(kind, model__statistics=statistics, model__layers=layers, model__dropout=0.0)
    batch, labels = torch.randn(4, 9, dimension(config.features)), torch.arange(4) % CLASSES
    private = with_private_lstms(model_of(config))
    sampled = GradSampleModule(private, loss_reduction="sum")
    torch.autograd.backward(nn.functional.cross_entropy(sampled(batch, LENGTHS), labels, reduction="sum"))
    rows = {name: parameter.grad_sample for name, parameter in private.named_parameters()}  # type: ignore[attr-defined]
    for place, length in enumerate(LENGTHS.tolist()):
        alone = with_private_lstms(model_of(config))
        own = slice(place, place + 1)
        torch.autograd.backward(nn.functional.cross_entropy(alone(batch[own, :length], LENGTHS[own]), labels[own]))
        for name, parameter in alone.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(rows[name][place], parameter.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_a_private_run_may_have_every_kind_that_is_tested_here() -> None:
    assert all(JUDGEMENTS["model.kind"].of(unit).admits(kind) for kind in KINDS for unit in UNITS)


def rows_of(layer: nn.Module, batch: Tensor, deltas: Tensor) -> dict[str, Tensor]:
    found = []
    for own, delta in zip(batch, deltas, strict=True):
        layer.zero_grad()
        torch.autograd.backward((layer(own[None]) * delta).sum())
        found.append({name: p.grad.clone() for name, p in layer.named_parameters() if p.grad is not None})
    return {name: torch.stack([row[name] for row in found]) for name in found[0]}


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_depthwise_convolutions_rows_are_those_of_one_at_a_time(kernel: int) -> None:
    layer, batch, deltas = Depthwise(5, kernel), torch.randn(3, 5, 6), torch.randn(3, 5, 6)
    rows = layer_gradients.depthwise_rows(layer, [batch], deltas)
    expected = rows_of(layer, batch, deltas)
    torch.testing.assert_close({name: rows[p] for name, p in layer.named_parameters()}, expected)


@pytest.mark.parametrize("bands", [(), (4,)])
def test_a_scales_rows_are_those_of_one_at_a_time(bands: tuple[int, ...]) -> None:
    layer, batch, deltas = ChannelScale(5), torch.randn(3, 5, 6, *bands), torch.randn(3, 5, 6, *bands)
    rows = layer_gradients.scale_rows(layer, [batch], deltas)
    expected = rows_of(layer, batch, deltas)
    torch.testing.assert_close({name: rows[p] for name, p in layer.named_parameters()}, expected)
