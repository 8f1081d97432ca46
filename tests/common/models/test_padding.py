"""No kind of model sees the padding, nor another utterance of the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.config.kinds import KINDS
from common.features.extractor import dimension
from tests.common.models.kinds import CLASSES, READERS, config_of, model_of


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 17), min_size=1, max_size=5),
    layers=st.sampled_from([1, 2]),
    statistics=st.sampled_from(["none", "means"]),
    seed=st.integers(0, 10_000),
)
def test_padding_never_changes_a_logit(kind: str, lengths: list[int], layers: int, statistics: str, seed: int) -> None:
    seen = statistics if kind in READERS else "means"
    config = config_of(kind, model__layers=layers, model__statistics=seen)
    emotion, generator = model_of(config, seed).eval(), torch.Generator().manual_seed(seed)
    width = dimension(config.features)
    utterances = [torch.randn(length, width, generator=generator) for length in lengths]
    alone = torch.cat([emotion(u[None], torch.tensor([len(u)])) for u in utterances])
    for extra, filling in ((0, 0.0), (9, 0.0), (9, 1e3)):
        batch = torch.full((len(lengths), max(lengths) + extra, width), filling)
        for row, utterance in zip(batch, utterances, strict=True):
            row[: len(utterance)] = utterance
        torch.testing.assert_close(emotion(batch, torch.tensor(lengths)), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", READERS)
def test_padding_gets_no_gradient(kind: str) -> None:
    config = config_of(kind, model__layers=2)
    batch = torch.randn(2, 6, dimension(config.features), requires_grad=True)
    model_of(config).eval()(batch, torch.tensor([6, 2])).square().sum().backward()
    assert batch.grad is not None
    assert (batch.grad[1, 2:] == 0).all()
    assert (batch.grad[1, :2] != 0).any()


@pytest.mark.parametrize("kind", READERS)
def test_utterances_of_one_frame_are_trained_on(kind: str) -> None:
    config = config_of(kind)
    emotion = model_of(config, shaken=False)
    logits = emotion(torch.randn(3, 1, dimension(config.features)), torch.ones(3, dtype=torch.int64))
    assert logits.shape == (3, CLASSES)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in emotion.parameters())


@pytest.mark.parametrize("kind", READERS)
def test_a_frame_is_heard_wherever_it_is_and_their_order_tells(kind: str) -> None:
    config = config_of(kind)
    emotion, frames = model_of(config).eval(), torch.randn(1, 8, dimension(config.features))
    lengths = torch.tensor([8])
    before = emotion(frames, lengths)
    for place in range(8):
        other = frames.clone()
        other[0, place] += 1.0
        assert not torch.allclose(emotion(other, lengths), before, atol=1e-6)
    assert not torch.allclose(emotion(frames.flip(1), lengths), before, atol=1e-4)
