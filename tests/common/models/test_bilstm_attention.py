import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.settings import Config, ModelConfig
from common.models.architectures import build_model
from common.models.bilstm_attention import AttentiveStatistics
from common.models.model import EmotionModel

FEATURES, CLASSES = 7, 4


def model(layers: int = 1, seed: int = 0) -> EmotionModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = ModelConfig(projection=6, hidden=5, layers=layers, attention=4, dropout=0.5)
        return build_model(FEATURES, CLASSES, Config(model=config))


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([1, 2]), st.lists(st.integers(1, 15), min_size=1, max_size=5), st.integers(0, 10_000))
def test_padding_never_changes_a_logit(layers: int, sizes: list[int], seed: int) -> None:
    emotion = model(layers, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    utterances = [torch.randn(size, FEATURES, generator=generator) for size in sizes]
    alone = torch.cat([emotion(u[None], torch.tensor([len(u)])) for u in utterances])
    for extra, filling in ((0, 0.0), (9, 0.0), (9, 1e3)):
        batch = torch.full((len(sizes), max(sizes) + extra, FEATURES), filling)
        for row, utterance in zip(batch, utterances, strict=True):
            row[: len(utterance)] = utterance
        torch.testing.assert_close(emotion(batch, torch.tensor(sizes)), alone, atol=1e-6, rtol=0)


def test_padding_gets_no_gradient() -> None:
    emotion = model(2).eval()
    batch = torch.randn(2, 6, FEATURES, requires_grad=True)
    emotion(batch, torch.tensor([6, 2])).sum().backward()
    assert batch.grad is not None
    assert (batch.grad[1, 2:] == 0).all()
    assert (batch.grad[1, :2] != 0).any()


def test_attention_is_zero_in_the_padding_and_sums_to_one() -> None:
    pool = AttentiveStatistics(3, 2)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False], [True] + [False] * 4])
    _, weights = pool(torch.randn(3, 5, 3), mask)
    assert (weights[~mask] == 0).all()
    assert (weights[mask] > 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))


def test_even_attention_pools_the_mean_and_the_deviation() -> None:
    pool = AttentiveStatistics(2, 3)
    torch.nn.init.zeros_(pool.score.weight)
    frames = torch.tensor([[[1.0, 5.0], [3.0, 5.0], [99.0, 99.0]]])
    pooled, weights = pool(frames, torch.tensor([[True, True, False]]))
    assert weights.tolist() == [[0.5, 0.5, 0.0]]
    # The deviation of a constant is held at 0.001, where its gradient is still finite.
    assert pooled[0].tolist() == pytest.approx([2.0, 5.0, 1.0, 1e-3], abs=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
def test_utterances_of_one_frame(layers: int) -> None:
    emotion = model(layers)
    logits = emotion(torch.randn(3, 1, FEATURES), torch.ones(3, dtype=torch.int64))
    assert logits.shape == (3, CLASSES)
    logits.sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in emotion.parameters())


def test_dropout_acts_only_in_training() -> None:
    emotion, batch, lengths = model(), torch.randn(2, 4, FEATURES), torch.tensor([4, 3])
    assert not torch.equal(emotion(batch, lengths), emotion(batch, lengths))
    emotion.eval()
    assert torch.equal(emotion(batch, lengths), emotion(batch, lengths))
