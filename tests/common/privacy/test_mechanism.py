from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from common.privacy.mechanism import PrivateOptimizer, clip_factors, set_empty
from common.privacy.stream import SecretStream


def released(rows: Tensor, *, noise: float = 0.0, bound: float = 1.0, expected: float = 1.0) -> Tensor:
    """What one step of SGD at rate 1 moves a parameter of zeros by, with the sign turned."""
    parameter = nn.Parameter(torch.zeros(rows.shape[1:]))
    optimizer = PrivateOptimizer(
        torch.optim.SGD([parameter], 1.0),
        noise_multiplier=noise,
        max_grad_norm=bound,
        expected_batch_size=expected,
        stream=SecretStream(),
    )
    parameter.grad_sample = rows.clone()  # type: ignore[attr-defined]
    optimizer.step()
    return -parameter.detach()


def test_large_gradients_are_clipped_and_small_ones_are_not() -> None:
    rows = [torch.tensor([[3.0], [0.3], [0.0]]), torch.tensor([[[4.0, 0.0]], [[0.0, 0.4]], [[0.0, 0.0]]])]
    assert clip_factors(rows, 1.0).tolist() == pytest.approx([0.2, 1.0, 1.0])
    assert released(torch.tensor([[3.0, 4.0], [0.3, 0.4]])).tolist() == pytest.approx([0.9, 1.2])


def test_sums_are_divided_by_the_expected_batch_never_by_the_drawn_one() -> None:
    assert released(torch.tensor([[0.5]]), expected=4.0).tolist() == pytest.approx([0.125])
    assert released(torch.tensor([[0.5], [0.5], [0.5]]), expected=4.0).tolist() == pytest.approx([0.375])
    assert released(torch.tensor([[0.5]]), expected=0.5).tolist() == pytest.approx([1.0])


@pytest.mark.parametrize("added", [[1e20, -1e20], [1e-3, 0.0], [math.nan, 1.0], [math.inf, 0.0], [-7.0, 3.0]])
def test_one_more_unit_moves_the_sum_by_the_bound_at_most(added: list[float]) -> None:
    rows = torch.tensor([[3.0, -4.0], [0.1, 0.2]])
    moved = released(torch.cat([rows, torch.tensor([added])]), bound=0.5) - released(rows, bound=0.5)
    assert float(moved.norm()) <= 0.5 * (1 + 1e-6)


def test_a_gradient_that_is_not_finite_adds_nothing() -> None:
    rows = torch.tensor([[0.5, 0.0], [math.nan, 1.0]])
    assert released(rows).tolist() == pytest.approx([0.5, 0.0])


def test_the_noise_has_the_deviation_that_the_accountant_is_told() -> None:
    moved = released(torch.zeros(2, 200_000), noise=1.5, bound=0.4, expected=3.0)
    deviation = float(moved.std())
    assert deviation == pytest.approx(1.5 * 0.4 / 3.0, rel=5 / math.sqrt(2 * 200_000))


def test_an_empty_sample_still_gets_noise() -> None:
    assert float(released(torch.zeros(0, 1000), noise=1.0).std()) == pytest.approx(1.0, rel=0.2)


def test_the_noise_does_not_come_from_torch() -> None:
    moved = []
    for _ in range(2):
        torch.manual_seed(0)
        moved.append(released(torch.zeros(1, 5), noise=1.0))
    assert not torch.equal(moved[0], moved[1])


def test_physical_batches_add_up_to_one_step() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4], [-6.0, 8.0]])
    parameter = nn.Parameter(torch.zeros(2))
    optimizer = PrivateOptimizer(
        torch.optim.SGD([parameter], 1.0),
        noise_multiplier=0.0,
        max_grad_norm=1.0,
        expected_batch_size=1.0,
        stream=SecretStream(),
    )
    for row in rows:
        parameter.grad_sample = row[None].clone()  # type: ignore[attr-defined]
        optimizer.signal_skip_step(True)
        optimizer.step()
        optimizer.zero_grad()
    assert parameter.tolist() == [0.0, 0.0]
    set_empty([parameter])
    optimizer.step()
    assert (-parameter.detach()).tolist() == pytest.approx(released(rows).tolist())
