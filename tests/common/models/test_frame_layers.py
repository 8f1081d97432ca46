from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from common.models.frame_layers import (
    ChannelScale,
    Depthwise,
    FrameConvolution,
    SeparableConvolution,
    UtteranceNorm,
    over_frames,
)

LENGTHS = [7, 3, 1]


def padded(*more: int, channels: int = 12) -> tuple[Tensor, Tensor]:
    """A batch ``(3, channels, 9, …)`` whose padding is full of large numbers, and its mask."""
    mask = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    batch = torch.randn(3, channels, 9, *more)
    return torch.where(over_frames(mask, batch), batch, 1e4), mask


@pytest.mark.parametrize("bands", [(), (5,)])
def test_groups_are_normalised_as_torch_does_it_with_an_utterance_alone(bands: tuple[int, ...]) -> None:
    own, (batch, mask) = UtteranceNorm(12), padded(*bands)
    theirs = nn.GroupNorm(own.groups, 12)
    for parameter in (theirs.weight, theirs.bias):
        nn.init.normal_(parameter)
    own.scale.load_state_dict(theirs.state_dict())
    found = own(batch, mask)
    for row, result, length in zip(batch, found, LENGTHS, strict=True):
        torch.testing.assert_close(result[:, :length], theirs(row[None, :, :length])[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (12, 4), (7, 1), (1, 1), (8, 8)])
def test_groups_are_of_the_same_size(channels: int, groups: int) -> None:
    assert UtteranceNorm(channels).groups == groups


def test_a_constant_stays_finite_and_has_a_gradient() -> None:
    batch = torch.ones(1, 8, 4, requires_grad=True)
    UtteranceNorm(8)(batch, torch.ones(1, 4, dtype=torch.bool)).square().sum().backward()
    assert batch.grad is not None
    assert torch.isfinite(batch.grad).all()


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("convolution", [FrameConvolution, SeparableConvolution])
def test_a_convolution_makes_of_each_utterance_what_it_makes_of_it_alone(
    convolution: type[FrameConvolution | SeparableConvolution], kernel: int
) -> None:
    own, (batch, mask) = convolution(12, 10, kernel), padded()
    found = own(batch, mask)
    assert found.shape == (3, 10, 9)
    for row, result, length in zip(batch, found, LENGTHS, strict=True):
        alone = own(row[None, :, :length], mask[:1, :length])[0]
        torch.testing.assert_close(result[:, :length], alone, atol=1e-5, rtol=1e-5)


def test_depthwise_leaves_each_channel_to_itself() -> None:
    own = Depthwise(3, 3)
    assert own.weight.shape == (3, 1, 3)
    before, changed = torch.randn(1, 3, 6), torch.zeros(1, 3, 6)
    changed[0, 1] = 1.0
    moved = (own(before + changed) - own(before)).abs().amax((0, 2))
    assert moved[0] == moved[2] == 0
    assert moved[1] > 0


def test_a_scale_is_a_factor_and_a_summand_a_channel() -> None:
    own = ChannelScale(2)
    own.load_state_dict({"weight": torch.tensor([2.0, 3.0]), "bias": torch.tensor([0.0, 1.0])})
    assert own(torch.ones(1, 2, 1, 1)).flatten().tolist() == [2.0, 4.0]
