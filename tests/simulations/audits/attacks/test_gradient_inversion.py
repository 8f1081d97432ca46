from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from torch import Tensor, nn

from common.config.settings import Config, ModelConfig
from common.errors import UsageError
from common.models.architectures import build_model
from simulations.audits.attacks.gradient_inversion import correlation, infer_label, invert, random_guesses, success

FRAMES, FEATURES, LABEL = 5, 10, 2


def victim() -> tuple[nn.Module, Tensor, dict[str, Tensor]]:
    """A small model of the real kind, an utterance, and its gradient."""
    torch.manual_seed(0)
    config = Config(model=ModelConfig(projection=16, hidden=12, attention=8))
    model = build_model(FEATURES, 4, config).eval()
    truth = torch.randn(FRAMES, FEATURES).cumsum(0)
    truth = (truth - truth.mean(0)) / truth.std(0)
    loss = nn.functional.cross_entropy(model(truth[None], torch.tensor([FRAMES])), torch.tensor([LABEL]))
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    names = [name for name, _ in model.named_parameters()]
    return model, truth, dict(zip(names, gradients, strict=True))


@pytest.mark.slow
def test_an_utterance_is_found_from_its_gradient() -> None:
    model, truth, gradient = victim()
    label = infer_label(gradient["classifier.bias"])
    assert label == LABEL
    found = invert(model, gradient, frames=FRAMES, features=FEATURES, label=label, steps=80)
    assert found.shape == truth.shape
    result = success([truth], [found], [random_guesses(truth, 200, seed=1)])
    assert result.correlation > 0.35
    assert result.correlation > result.random_ci95[1]
    assert result.correlation_ci95 is None  # one utterance says nothing of others
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_noise_in_its_place_gives_nothing_away() -> None:
    model, truth, gradient = victim()
    generator = torch.Generator().manual_seed(5)
    drowned = {name: torch.randn(g.shape, generator=generator) for name, g in gradient.items()}
    found = invert(model, drowned, frames=FRAMES, features=FEATURES, label=LABEL, steps=30, restarts=1)
    low, high = success([truth], [found], [random_guesses(truth, 200, seed=1)]).random_ci95
    assert 2 * low < correlation(truth, found) < 2 * high


def test_scale_does_not_matter_and_the_model_is_left_as_it_was() -> None:
    model, _, gradient = victim()
    before = [p.clone() for p in model.parameters()]
    scaled = {name: 0.001 * g for name, g in gradient.items()}
    one, other = (
        invert(model, g, frames=FRAMES, features=FEATURES, label=2, steps=3, restarts=1) for g in (gradient, scaled)
    )
    assert correlation(one, other) > 0.99  # a gradient near 0 may change its sign by rounding
    assert all(torch.equal(p, b) and p.grad is None for p, b in zip(model.parameters(), before, strict=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_label_from_the_bias(smoothing: float) -> None:
    for label in range(4):
        logits = torch.zeros(1, 4, requires_grad=True)
        nn.functional.cross_entropy(logits, torch.tensor([label]), label_smoothing=smoothing).backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        assert infer_label(logits.grad[0]) == label


def test_correlation_by_hand() -> None:
    truth = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert correlation(truth, 2 * truth + 5) == pytest.approx(1.0)
    assert correlation(truth, -truth) == pytest.approx(-1.0)
    assert correlation(truth, torch.tensor([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(0.0)
    assert correlation(truth, torch.ones(2, 2)) == 0.0


def test_success_over_utterances_by_hand() -> None:
    truth = torch.tensor([[0.0, 1.0, 2.0]])
    found = [truth, truth, truth, truth, -truth]
    result = success([truth] * 5, found, [[truth, -truth]] * 5)
    assert result.correlation == pytest.approx(0.6)
    assert result.random_correlation == pytest.approx(0.0)
    assert result.random_ci95 == pytest.approx((-0.95, 0.95))
    assert result.correlation_ci95 is not None
    # The variance is 0.8, the mean's 0.16; t(4) is 2.7764.
    assert result.correlation_ci95 == pytest.approx((0.6 - 2.7764 * 0.4, 1.0), abs=1e-4)


def test_guesses_are_as_many_as_asked_and_about_uncorrelated() -> None:
    truth = torch.randn(20, 10, generator=torch.Generator().manual_seed(2))
    guesses = random_guesses(truth, 100, seed=3)
    assert len(guesses) == 100
    low, high = success([truth], [truth], [guesses]).random_ci95
    assert high == pytest.approx(1.96 / math.sqrt(200), rel=0.3)
    assert low == pytest.approx(-high, rel=0.4)


def test_what_cannot_be_inverted_is_refused() -> None:
    model, truth, gradient = victim()
    for wrong in ({}, {name: 0 * g for name, g in gradient.items()}, {"classifier.bias": torch.full((4,), math.nan)}):
        with pytest.raises(UsageError, match="nothing to invert"):
            invert(model, wrong, frames=FRAMES, features=FEATURES, label=LABEL)
    with pytest.raises(UsageError, match="expected \\(5, 10\\)"):
        correlation(truth, truth[:2])
    with pytest.raises(UsageError, match="one reconstruction"):
        success([truth], [], [[truth]])
    with pytest.raises(UsageError, match="no guess"):
        success([truth], [truth], [[]])
