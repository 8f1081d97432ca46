from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from common.errors import UsageError
from common.privacy.canaries import Canaries, Claim, coins, directions
from common.privacy.stream import SecretStream
from simulations.audits.attacks.one_run import Bound, epsilon_lower_bound

PARAMETERS, STEPS, RATE, NOISE, CLIP = 1200, 120, 0.2, 2.0, 0.5


def test_directions_are_distinct_and_repeatable() -> None:
    places = directions(200, 1000, seed=1)
    assert len(set(places.tolist())) == 200
    assert 0 <= int(places.min()) <= int(places.max()) < 1000
    assert torch.equal(places, directions(200, 1000, seed=1))
    assert not torch.equal(places, directions(200, 1000, seed=2))
    with pytest.raises(UsageError, match="expected 1 to 5"):
        directions(6, 5, seed=1)


def test_coins_are_even_and_repeatable() -> None:
    thrown = coins(10_000, seed=1)
    assert 4800 < int(thrown.sum()) < 5200  # four deviations
    assert torch.equal(thrown, coins(10_000, seed=1))


def test_the_likelihood_ratio_by_hand() -> None:
    """Against the two densities themselves, at q = 0.3, noise of 2 · 0.5 = 1."""
    claim = Claim(sample_rate=0.3, noise_multiplier=2.0, max_grad_norm=0.5)
    x = 0.8
    without, included = math.exp(-(x**2) / 2), math.exp(-((x - 0.5) ** 2) / 2)
    ratio = math.log((0.7 * without + 0.3 * included) / without)
    assert claim.log_ratio(torch.tensor([x], dtype=torch.float64)).tolist() == [pytest.approx(ratio)]


def test_a_sample_rate_of_one_and_far_entries_stay_finite() -> None:
    claim = Claim(sample_rate=1.0, noise_multiplier=0.01, max_grad_norm=1.0)
    assert claim.log_ratio(torch.tensor([0.5, 1e6])).tolist() == [pytest.approx(0.0), pytest.approx(1e10, rel=1e-3)]


def test_only_included_canaries_are_drawn() -> None:
    included = torch.tensor([True, False] * 20)
    canaries = made(included, directions(40, 100, seed=3))
    rows = torch.cat(list(canaries.rows(SecretStream(1), 1.0)))
    assert rows.shape == (20, 100)
    assert set(rows.argmax(1).tolist()) == set(canaries.coordinates[included].tolist())
    assert rows.norm(dim=1).tolist() == [500.0] * 20  # a thousand clipping norms
    assert list(canaries.rows(SecretStream(1), 1e-9)) == []  # an empty sample


def made(included: Tensor, coordinates: Tensor, parameters: int = 100) -> Canaries:
    claim = Claim(sample_rate=RATE, noise_multiplier=NOISE, max_grad_norm=CLIP)
    return Canaries(coordinates=coordinates, included=included, parameters=parameters, claim=claim)


def steps(canaries: Canaries, stream: SecretStream, *, noise: float, clip: bool) -> Iterator[Tensor]:
    """The noisy sums of a mechanism over canaries and a recording's gradient that is always there."""
    generator = torch.Generator().manual_seed(4)
    other = torch.randn(PARAMETERS, generator=generator)
    for _ in range(STEPS):
        rows = [other[None], *canaries.rows(stream, RATE)]
        units = torch.cat(rows)
        norms = units.norm(dim=1, keepdim=True)
        total = (units * (CLIP / norms).clamp(max=1) if clip else units).sum(0)
        yield total + noise * CLIP * torch.randn(PARAMETERS, generator=generator)


def audited(*, noise: float = NOISE, clip: bool = True, count: int = 200) -> tuple[Bound, Bound]:
    """The bounds from likelihood ratios and from plain sums."""
    coordinates, included, stream = directions(count, PARAMETERS, 5), coins(count, 5), SecretStream(6)
    canaries = made(included, coordinates, PARAMETERS)
    plain = torch.zeros(count, dtype=torch.float64)
    for noisy_sum in steps(canaries, stream, noise=noise, clip=clip):
        canaries.see(noisy_sum)
        plain += noisy_sum[coordinates].double()
    return (
        epsilon_lower_bound(canaries.scores.numpy(), included.numpy(), 1e-5),
        epsilon_lower_bound(plain.numpy(), included.numpy(), 1e-5),
    )


def test_an_honest_mechanism_is_not_accused() -> None:
    """The rate times √steps over the noise is 1.1, of which ε is about 5."""
    for bound in audited(count=1000):
        assert 0.2 < bound.epsilon < 5


@pytest.mark.parametrize(("noise", "clip"), [(0.0, True), (NOISE, False)])
def test_a_broken_mechanism_is_caught_at_epsilon_2_with_200_canaries(noise: float, clip: bool) -> None:
    for bound in audited(noise=noise, clip=clip):
        assert bound.epsilon > 2.5


def test_what_cannot_be_scored_is_refused() -> None:
    claim = Claim(sample_rate=RATE, noise_multiplier=0, max_grad_norm=CLIP)
    with pytest.raises(UsageError, match="noise multiplier is 0"):
        Canaries(coordinates=torch.tensor([0]), included=torch.tensor([True]), parameters=5, claim=claim)
    with pytest.raises(UsageError, match="1 coins for 2 canaries"):
        made(torch.tensor([True]), torch.tensor([0, 1]))
