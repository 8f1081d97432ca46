import math

import pytest
import torch
from torch import nn

from common.models.self_attention import SelfAttention, positions


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_it_is_torchs_own_attention_with_other_names(heads: int) -> None:
    own, theirs = SelfAttention(8, heads), nn.MultiheadAttention(8, heads, batch_first=True)
    nn.init.normal_(theirs.in_proj_bias)
    own.inputs.load_state_dict({"weight": theirs.in_proj_weight, "bias": theirs.in_proj_bias})
    own.output.load_state_dict(theirs.out_proj.state_dict())
    frames = torch.randn(3, 6, 8)
    mask = torch.arange(6) < torch.tensor([6, 4, 1])[:, None]
    expected = theirs(frames, frames, frames, key_padding_mask=~mask, need_weights=False)[0]
    torch.testing.assert_close(own(frames, mask)[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_places_are_sines_and_cosines_of_growing_periods() -> None:
    found = positions(3, 4, torch.zeros(1))
    expected = [[math.sin(t), math.cos(t), math.sin(t / 100), math.cos(t / 100)] for t in range(3)]
    assert found.tolist() == [pytest.approx(row, abs=1e-6) for row in expected]
    assert positions(3, 5, torch.zeros(1)).shape == (3, 5)
