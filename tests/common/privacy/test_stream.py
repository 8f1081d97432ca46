from __future__ import annotations

import math

import numpy as np
import torch

from common.privacy.stream import SecretStream


def test_the_numbers_are_of_a_standard_normal_distribution() -> None:
    numbers = SecretStream().normal(400_001)
    assert numbers.dtype == torch.float64
    assert numbers.shape == (400_001,)
    error = 5 / math.sqrt(len(numbers))  # five standard errors: one failure in millions
    assert abs(float(numbers.mean())) < error
    assert abs(float(numbers.var()) - 1) < error * math.sqrt(2)
    assert abs(float((numbers**4).mean()) - 3) < error * math.sqrt(96)
    for bound, share in ((1.0, 0.682689), (2.0, 0.954500), (3.0, 0.997300)):
        inside = float((numbers.abs() < bound).double().mean())
        assert abs(inside - share) < error * math.sqrt(share * (1 - share))
    halves = numbers[:200_000], numbers[200_000:400_000]  # cosines and sines of the same radii
    assert abs(float((halves[0] * halves[1]).mean())) < error * math.sqrt(2)


def test_the_sample_draws_each_unit_by_itself() -> None:
    stream = SecretStream()
    draws = [stream.sample(50, 0.1) for _ in range(4000)]
    sizes = np.array([len(draw) for draw in draws])
    assert abs(sizes.mean() - 5) < 5 * math.sqrt(4.5 / 4000)
    assert abs(sizes.var() - 4.5) < 0.6  # a binomial's: a fixed batch would have none
    assert (sizes == 0).any()
    often = torch.bincount(torch.cat(draws), minlength=50)
    assert 300 < int(often.min()) <= int(often.max()) < 500
    assert stream.sample(3, 1.0).tolist() == [0, 1, 2]
    assert stream.sample(0, 0.5).tolist() == []


def test_no_two_streams_are_alike_and_no_seed_of_torch_or_numpy_matters() -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        found.append(SecretStream().normal(4))
    assert not torch.equal(found[0], found[1])
    stream = SecretStream()
    assert not torch.equal(stream.normal(4), stream.normal(4))
    assert stream.seed() != stream.seed()


def test_an_insecure_seed_repeats_itself() -> None:
    assert torch.equal(SecretStream(1).normal(5), SecretStream(1).normal(5))
    assert not torch.equal(SecretStream(1).normal(5), SecretStream(2).normal(5))
    assert SecretStream(1).sample(20, 0.5).tolist() == SecretStream(1).sample(20, 0.5).tolist()


def test_only_counting_is_no_use_of_the_global_generators() -> None:
    before = torch.get_rng_state()
    SecretStream().normal(10)
    assert torch.equal(before, torch.get_rng_state())
