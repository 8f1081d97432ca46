from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from torch import Tensor

from common.errors import UsageError
from simulations.audits.attacks.attribute_inference import classify, first_layer, success
from simulations.audits.attacks.intervals import clopper_pearson


def update(gender: str, strength: float, generator: torch.Generator) -> dict[str, Tensor]:
    """A site's update: noise, and a trace of gender in the first layer."""
    sign = 1.0 if gender == "female" else -1.0
    weight = torch.randn(8, 30, generator=generator)
    weight[:, 3] += strength * sign
    size = float(torch.rand((), generator=generator)) + 0.1  # sites have more and less data
    return {"projection.weight": size * weight, "projection.bias": torch.zeros(8), "lstm.weight": torch.randn(4)}


def attacked(strength: float, seed: int = 1) -> tuple[list[str], list[str]]:
    generator = torch.Generator().manual_seed(seed)
    genders = ["female", "male"] * 40
    known = first_layer([update(g, strength, generator) for g in genders], "projection.")
    unknown = first_layer([update(g, strength, generator) for g in genders], "projection.")
    return genders, classify(known, genders, unknown)


def test_a_planted_trace_is_found() -> None:
    genders, told = attacked(strength=1.0)
    result = success(genders, told, [f"speaker {i}" for i in range(80)])
    assert result.uar > 0.9
    assert result.uar_ci95[0] > result.chance == 0.5
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_noise_gives_chance() -> None:
    genders, told = attacked(strength=0.0)
    result = success(genders, told, [f"speaker {i}" for i in range(80)])
    assert result.uar_ci95[0] < 0.5 < result.uar_ci95[1]


def test_the_first_layer_is_taken_at_unit_length() -> None:
    rows = first_layer(
        [{"projection.weight": torch.tensor([[3.0]]), "projection.bias": torch.tensor([4.0]), "x": 1}], "projection."
    )
    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_unbalanced_shadows_do_not_decide() -> None:
    """Nine in ten are of one class, the targets lie at the two means: each is told right."""
    generator = torch.Generator().manual_seed(2)
    signs = torch.tensor([1.0] * 90 + [-1.0] * 10)
    known = signs[:, None] + 2.0 * torch.randn(100, 5, generator=generator)
    told = classify(known, ["a"] * 90 + ["b"] * 10, torch.tensor([[0.7] * 5, [-0.7] * 5]))
    assert told == ["a", "b"]


def test_the_uar_and_its_interval_by_hand() -> None:
    """Three speakers of a, told right 1, 1/2 and 0; two of b, both right: UAR (1/2 + 1) / 2."""
    truth, told = ["a", "a", "a", "a", "b", "b"], ["a", "a", "b", "b", "b", "b"]
    result = success(truth, told, ["1", "2", "2", "3", "4", "5"])
    assert result.uar == pytest.approx(0.75)
    assert (result.updates, result.speakers, result.chance) == (6, 5, 0.5)
    # 1.5 of 3: symmetric about 1/2. 2 of 2: from √0.025 to 1.
    low, high = clopper_pearson(1.5, 3)
    assert high - 0.5 == pytest.approx(0.5 - low)
    below = math.hypot(0.5 - low, 1 - math.sqrt(0.025)) / 2
    assert result.uar_ci95 == pytest.approx((0.75 - below, 0.75 + (high - 0.5) / 2))


def test_all_right_is_not_certain() -> None:
    """Five speakers each: the recalls' lower ends are 0.025^(1/5)."""
    names = [str(i) for i in range(10)]
    result = success(["a", "b"] * 5, ["a", "b"] * 5, names)
    assert result.uar_ci95 == pytest.approx((1 - (1 - 0.025**0.2) * math.sqrt(2) / 2, 1.0))


def test_what_cannot_be_attacked_is_refused() -> None:
    with pytest.raises(UsageError, match="no update"):
        first_layer([], "")
    with pytest.raises(UsageError, match="no update has a layer other"):
        first_layer([{"projection.weight": torch.ones(1)}], prefix="other.")
    with pytest.raises(UsageError, match="not finite"):
        first_layer([{"projection.weight": torch.tensor([math.nan])}], "projection.")
    with pytest.raises(UsageError, match="1 classes"):
        classify(torch.ones(2, 3), ["a", "a"], torch.ones(1, 3))
    with pytest.raises(UsageError, match="two or more"):
        success(["a"], ["a"], ["1"])
