import pytest
import torch

from common.config.settings import Config, ModelConfig
from common.features.extractor import dimension
from common.models.architectures import build_model
from common.models.model import FrameStatistics
from tests.common.models.kinds import READERS, config_of, model_of


def test_statistics_are_the_frames_mean_and_deviation_whatever_the_padding() -> None:
    frames = torch.tensor([[[0.5, 1.0], [1.5, 1.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    found = FrameStatistics(frames.shape[2])(frames, mask)[0]
    expected = torch.tensor([2.0, 2.0, 4 * (0.5 - 0.85), 4 * (0.0 - 0.85)])
    assert found.tolist() == pytest.approx((expected / expected.norm()).tolist(), abs=1e-6)


@pytest.mark.parametrize("hidden", [0, 5])
def test_a_model_with_statistics_learns_from_them(hidden: int) -> None:
    config = ModelConfig(projection=6, hidden=hidden, attention=4, dropout=0.0, statistics="means")
    model = build_model(4, 3, Config(model=config))
    assert model.classifier.in_features == 4 * hidden + 8
    batch, lengths = torch.randn(2, 7, 4), torch.tensor([7, 3])
    longer = torch.cat([batch, torch.full((2, 5, 4), 100.0)], dim=1)
    assert torch.allclose(model(batch, lengths), model(longer, lengths), atol=1e-5)
    names = {name.partition(".")[0] for name in model.state_dict()}
    assert names == ({"classifier"} if not hidden else {"projection", "norm", "lstm", "pool", "classifier"})


@pytest.mark.parametrize("statistics", ["means", "contours"])
@pytest.mark.parametrize("kind", READERS)
def test_what_a_kind_reads_is_joined_with_statistics_of_the_frames(kind: str, statistics: str) -> None:
    """Two branches: the classic figures of an utterance, and what convolutions, an LSTM or attention make of it."""
    plain, both = (model_of(config_of(kind, model__statistics=seen)) for seen in ("none", statistics))
    assert both.statistics is not None
    assert both.classifier.in_features == plain.classifier.in_features + both.statistics.width
    frames, lengths = torch.randn(2, 6, dimension(config_of(kind).features)), torch.tensor([6, 3])
    both.eval()(frames, lengths).square().sum().backward()
    assert both.classifier.weight.grad is not None
    assert (both.classifier.weight.grad.abs().amax(0) > 0).float().mean() > 0.9  # it learns from either branch


def test_statistics_made_once_give_the_logits_of_the_frames() -> None:
    config = Config(model=ModelConfig(hidden=0, dropout=0.0, statistics="means"))
    model, ready = build_model(4, 3, config), build_model(4, 3, config, precomputed=True)
    ready.load_state_dict(model.state_dict())
    utterances = [torch.randn(frames, 4) for frames in (7, 3, 1)]
    made = torch.stack([FrameStatistics(4).of(utterance) for utterance in utterances])
    assert made.shape == (3, 1, 8)
    alone = torch.cat([model(utterance[None], torch.tensor([len(utterance)])) for utterance in utterances])
    assert torch.allclose(ready(made, torch.ones(3, dtype=torch.int64)), alone, atol=1e-6)
