from __future__ import annotations

import pytest
import torch

from common.config.settings import Config
from common.features.extractor import dimension
from common.models.architectures import build_model
from common.models.frame_layers import FrameConvolution, SeparableConvolution
from tests.common.models.kinds import config_of, model_of

DOCUMENTS = {"model.projection": 128, "model.hidden": 576, "model.layers": 3, "model.kernel": 3}  # and eight classes


@pytest.mark.parametrize(("kind", "millions"), [("cnn1d", 2.3), ("dscnn", 0.8)])
def test_the_documents_sizes_are_a_pair_of_the_same_settings(kind: str, millions: float) -> None:
    config = Config().with_values({**DOCUMENTS, "model.kind": kind})
    with torch.device("meta"):
        own = build_model(dimension(config.features), 8, config)
    assert round(sum(parameter.numel() for parameter in own.parameters()) / 1e6, 1) == millions


@pytest.mark.parametrize(("kind", "expected"), [("cnn1d", FrameConvolution), ("dscnn", SeparableConvolution)])
def test_a_separable_model_differs_in_its_convolutions_alone(kind: str, expected: type) -> None:
    own = model_of(config_of(kind, model__layers=3)).get_submodule("convolutions")
    assert [type(layer) for layer in own.children()] == 3 * [expected]
    rest = [name for name in model_of(config_of(kind)).state_dict() if not name.startswith("convolutions.")]
    assert rest == [n for n in model_of(config_of("cnn1d")).state_dict() if not n.startswith("convolutions.")]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_each_layer_sees_a_kernel_more_of_the_frames_around(layers: int) -> None:
    """Three layers of three frames reach three frames: what the last one finds of a frame is of seven."""
    config = config_of("cnn1d", model__layers=layers, model__kernel=3, model__projection=6)
    own = model_of(config).eval()
    frames = torch.randn(1, 6, 11, requires_grad=True)
    found, mask = frames, torch.ones(1, 11, dtype=torch.bool)
    for convolution in own.get_submodule("convolutions").children():
        found = convolution(found, mask)
    torch.autograd.backward(found[0, :, 5].sum())
    assert frames.grad is not None
    reached = (frames.grad[0].abs().amax(0) > 0).nonzero().flatten().tolist()
    assert reached == list(range(5 - layers, 6 + layers))
