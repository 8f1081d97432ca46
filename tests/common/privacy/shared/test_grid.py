from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import UsageError
from common.privacy.shared.grid import Grid, wrapped
from common.privacy.shared.noised_sum import GridSum
from common.privacy.stream import SecretStream


def length_of(sums: list[torch.Tensor]) -> float:
    return math.sqrt(sum(int(own.square().sum()) for own in sums))


@pytest.mark.parametrize("entries", [1, 7, 1600])
def test_what_a_unit_adds_is_no_longer_than_the_norm_rounding_and_all(entries: int) -> None:
    grid, generator = Grid(entries=entries, max_grad_norm=0.3), torch.Generator().manual_seed(entries)
    others = torch.randn(5, entries, generator=generator)
    for scale in (1e-6, 0.01, 1.0, 1e30):
        unit = scale * torch.randn(1, entries, generator=generator)
        moved = grid.counted([torch.cat([others, unit])])[0] - grid.counted([others])[0]
        assert length_of([moved]) * grid.step <= 0.3


def test_even_where_each_entry_is_rounded_up_by_a_half() -> None:
    grid = Grid(entries=400, max_grad_norm=1.0)
    clipped = 500 / 500.5 * (1 - 1e-9)
    worst = torch.full((1, 400), 10.0)  # each entry is 500 steps, less a little
    assert length_of(grid.counted([worst])) <= 500.5 * 20
    odd = torch.full((1, 400), (499.5 + 1e-6) * grid.step, dtype=torch.float64)  # a little more than a half each
    assert float(torch.linalg.vector_norm(odd)) < clipped
    assert length_of(grid.counted([odd])) == pytest.approx(500.0 * 20)
    assert length_of(grid.counted([odd])) * grid.step <= 1.0


def test_rounding_adds_at_most_a_thousandth_to_the_norm() -> None:
    for entries in (1, 100, 10**6):
        grid = Grid(entries=entries, max_grad_norm=2.0)
        assert math.sqrt(entries) / 2 * grid.step <= 0.001 * 2.0


def test_a_sum_is_the_same_in_any_order_and_in_any_parts() -> None:
    grid, rows = Grid(entries=50, max_grad_norm=1.0), torch.randn(40, 50)
    whole = grid.counted([rows])[0]
    assert torch.equal(whole, grid.counted([rows.flip(0)])[0])
    assert torch.equal(whole, grid.counted([rows[:13]])[0] + grid.counted([rows[13:]])[0])


def test_a_gradient_that_is_not_finite_adds_nothing() -> None:
    grid, rows = Grid(entries=4, max_grad_norm=1.0), torch.randn(3, 4)
    broken = torch.cat([rows, torch.tensor([[math.nan, 1.0, 1.0, 1.0], [math.inf, 0.0, 0.0, 0.0]])])
    assert torch.equal(grid.counted([broken])[0], grid.counted([rows])[0])


def test_the_noise_of_n_sites_is_n_over_m_of_the_variance() -> None:
    grid, sites, honest, noise = Grid(entries=20_000, max_grad_norm=0.5), 4, 3, 2.0
    opened = np.zeros(20_000, np.int64)
    for _ in range(sites):
        parameter = nn.Parameter(torch.zeros(100, 200))
        [told] = GridSum([parameter], grid, SecretStream()).noised(grid.variance(noise, honest))
        assert told.dtype == torch.int32
        opened += told.numpy().ravel()
    deviation = float((opened * grid.step).std())
    assert deviation == pytest.approx(noise * 0.5 * math.sqrt(sites / honest), rel=0.02)
    assert deviation > noise * 0.5


def test_a_run_at_epsilon_1_fits_sixty_recordings() -> None:
    noise = 35.0  # of 200 steps at the rate 0.5, rounded up
    for entries in (1600, 12_000):
        grid = Grid(entries=entries, max_grad_norm=1.0)
        variance = grid.variance(noise, 3)
        grid.refuse_overflow(60, variance, 4)
        room = 2**31 - 60 * 500.5 * math.sqrt(entries)
        assert room > 8 * math.sqrt(4 * variance)


def test_a_sum_that_may_not_fit_is_refused_with_what_would() -> None:
    grid = Grid(entries=10_000, max_grad_norm=1.0)
    variance = grid.variance(1.0, 2)
    most = int((2**31 - 1 - 8 * math.sqrt(3 * variance)) / 50_050)
    grid.refuse_overflow(most, variance, 3)
    with pytest.raises(UsageError, match=f"over {most + 1} units and 10000 parameters .* at most {most} units"):
        grid.refuse_overflow(most + 1, variance, 3)


@pytest.mark.parametrize(("noise", "advice"), [(1e-3, "more"), (1e14, "less")])
def test_noise_that_the_grid_cannot_tell_is_refused(noise: float, advice: str) -> None:
    with pytest.raises(UsageError, match=f"expected 16 to 2\\^42; give it {advice} noise"):
        Grid(entries=4, max_grad_norm=1.0).variance(noise, 3)


def test_sums_are_known_modulo_two_to_the_32nd() -> None:
    values = np.array([0, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 + 5], np.int64)
    assert wrapped(values).tolist() == [0, 2**31 - 1, -(2**31), -(2**31), 2**31 - 1, 5]
