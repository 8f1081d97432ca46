from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.data.dataset import SpeechDataset
from common.learning.confidence import SHARES, Confidence, outputs, pooled
from common.protocol import BINS, TEMPERATURES
from tests.common.examples import recording


def drawn(temperature: float, count: int = 20_000, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits of which the labels are drawn as if divided by a temperature."""
    generator = torch.Generator().manual_seed(round(1000 * temperature))
    logits = 3 * torch.randn(count, classes, generator=generator)
    return logits, torch.multinomial(torch.softmax(logits / temperature, 1), 1, generator=generator)[:, 0]


def by_bins(right: dict[int, float], wrong: dict[int, float]) -> Confidence:
    counts = [np.zeros(BINS), np.zeros(BINS)]
    for count, own in zip(counts, (right, wrong), strict=True):
        for place, value in own.items():
            count[place] = value
    total = int(sum(count.sum() for count in counts))
    return Confidence(recordings=total, losses=np.zeros(len(TEMPERATURES)), right=counts[0], wrong=counts[1])


@pytest.mark.parametrize("temperature", [0.4, 0.9, 1.0, 1.7, 3.2])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    logits, labels = drawn(temperature)
    found = Confidence.of(logits, labels).temperature()
    assert found == pytest.approx(temperature, rel=0.05)
    near = found * np.geomspace(0.95, 1.05, 41)
    losses = [float(nn.functional.cross_entropy(logits.double() / own, labels)) for own in near]
    assert near[int(np.argmin(losses))] == pytest.approx(found, rel=0.01)


def test_a_temperature_beyond_the_range_is_its_end() -> None:
    logits, labels = torch.eye(3) * 5, torch.arange(3)
    assert Confidence.of(logits, labels).temperature() == TEMPERATURES[0] == 0.25
    assert Confidence.of(logits, (labels + 1) % 3).temperature() == TEMPERATURES[-1] == 4.0


@pytest.mark.parametrize(
    ("smallest", "temperature"),
    [
        (range(16), 1.0),
        (range(3), TEMPERATURES[2]),
        (range(9, 16), TEMPERATURES[9]),
        ((7, 8), 1.0),
        ((4, 5), TEMPERATURES[5]),
    ],
)
def test_of_equal_losses_the_temperature_is_the_nearest_to_one(smallest: Sequence[int], temperature: float) -> None:
    losses = np.full(len(TEMPERATURES), 9.0)
    losses[list(smallest)] = 7.0
    assert dataclasses.replace(by_bins({19: 4.0}, {}), losses=losses).temperature() == pytest.approx(temperature)


@pytest.mark.parametrize("height", [0.0, 0.1, 1 / 3, 77.7])
def test_a_model_that_says_nothing_has_the_temperature_one(height: float) -> None:
    logits = torch.full((301, 7), height)
    assert Confidence.of(logits, torch.arange(301) % 7).temperature() == 1.0


def test_the_sums_are_those_of_a_calculation_by_hand() -> None:
    """A share of 0.9 and one of 0.6 of two classes: right about the first, wrong about the second."""
    logits = torch.tensor([[math.log(9.0), 0.0], [0.0, math.log(1.5)]], dtype=torch.float64)
    found = Confidence.of(logits, torch.tensor([0, 0]))
    assert found.recordings == 2
    assert [(place, count) for place, count in enumerate(found.right) if count] == [(18, 1.0)]
    assert [(place, count) for place, count in enumerate(found.wrong) if count] == [(12, 1.0)]
    assert found.losses[-1] == pytest.approx(math.log(1 + 9**-0.25) + math.log(1 + 1.5**0.25))
    assert found.error() == pytest.approx((0.1 + 0.6) / 2)


def test_parts_add_up_to_the_whole() -> None:
    logits, labels = drawn(1.4, count=300)
    parts = [Confidence.of(logits[own], labels[own]) for own in (slice(0, 40), slice(40, 41), slice(41, 300))]
    whole, summed = Confidence.of(logits, labels), pooled(parts)
    assert summed.recordings == 300
    assert summed.losses == pytest.approx(whole.losses)
    assert summed.right.tolist() == whole.right.tolist()
    assert summed.wrong.tolist() == whole.wrong.tolist()
    assert summed.temperature() == pytest.approx(whole.temperature())
    assert summed.unsure() == whole.unsure()


def test_an_error_by_the_bins_middles_is_at_most_half_a_bin_off() -> None:
    logits, labels = drawn(2.0)
    exact = Confidence.of(logits, labels)
    assert pooled([exact]).error() == pytest.approx(exact.error(), abs=0.5 / BINS)
    assert exact.error() > 0.1
    assert Confidence.of(logits / 2.0, labels).error() < 0.02


def test_what_is_unsure_lies_evenly_within_a_bin() -> None:
    found = by_bins({8: 5.0, 19: 30.0}, {8: 5.0, 10: 10.0}).unsure()  # ten from 0.4, ten from 0.5, thirty from 0.95
    assert found == pytest.approx({"0.1": 0.425, "0.2": 0.45, "0.3": 0.525})
    assert by_bins({19: 4.0}, {}).unsure() == pytest.approx({"0.1": 0.955, "0.2": 0.96, "0.3": 0.965})


def test_the_least_sure_by_the_bins_are_nearly_those_of_the_recordings() -> None:
    logits, labels = drawn(1.0)
    sure = torch.softmax(logits, 1).amax(1).numpy()
    exact = {f"{share:g}": float(np.quantile(sure, share)) for share in SHARES}
    assert Confidence.of(logits, labels).unsure() == pytest.approx(exact, abs=0.005)


def test_a_part_of_a_site_weighs_as_much_less_and_says_the_same() -> None:
    logits, labels = drawn(0.7, count=200)
    whole = Confidence.of(logits, labels)
    part = whole.weighing(0.25)
    assert part.right.sum() + part.wrong.sum() == 50
    assert part.recordings == 200
    assert (part.temperature(), part.error()) == pytest.approx((whole.temperature(), whole.error()))


def test_outputs_are_a_recordings_own_logits_and_its_label() -> None:
    class Ends(nn.Module):
        def forward(self, batch: Tensor, lengths: Tensor) -> Tensor:
            return batch[torch.arange(len(batch)), lengths - 1]

    names = ("fear", "anger", "fear", "anger")
    own = [recording(torch.full((5 - i, 2), float(i)), emotion=name) for i, name in enumerate(names)]
    logits, labels = outputs(Ends(), SpeechDataset(own, ("anger", "fear")), torch.device("cpu"))
    assert logits.tolist() == [[i, i] for i in (3, 2, 1, 0)]  # by length
    assert labels.tolist() == [0, 1, 0, 1]
