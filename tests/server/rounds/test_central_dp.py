from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.config.settings import Config
from common.errors import BudgetSpent
from common.privacy.stream import SecretStream
from common.privacy.terms import Terms
from server.rounds.central_dp import PrivateMean, SiteUnit
from server.rounds.gathering import Gathered, GatheredRound
from server.run.checkpoint import State
from tests.server.replies import Arrays, reply

ZERO: Arrays = {"a": np.zeros(3, np.float32), "b": np.zeros((1, 1), np.float32), "count": np.array([7], np.int64)}


def terms(sites: int = 4, *, noise: float = 1e-12, bound: float = 1.0) -> Terms:
    config = Config().with_values(
        {"privacy.unit": "site", "privacy.noise_multiplier": noise, "privacy.max_grad_norm": bound}
    )
    return Terms.of(config, sites, [])


def update(a: list[float], b: float = 0.0, **more: Any) -> Any:
    return reply({"a": np.array(a, np.float32), "b": np.array([[b]], np.float32), "count": np.array([9])}, **more)


def mean(*replies: Any, own: Terms | None = None, like: Arrays = ZERO, trained: Sequence[str] = ()) -> Arrays:
    updates = PrivateMean(like, own or terms(), SecretStream(), trained or like)
    for message in replies:
        updates.add(message)
    [merged] = updates.replies()
    return {name: array.numpy() for name, array in merged.content.array_records["arrays"].items()}


def test_each_site_is_clipped_as_a_whole_and_weighs_the_same() -> None:
    large = update([3.0, 0.0, 0.0], 4.0, examples=1000)
    small = update([0.0, 0.5, 0.0], examples=1)
    merged = mean(large, small, own=terms(2))
    assert merged["a"].tolist() == pytest.approx([0.3, 0.25, 0.0], rel=1e-6, abs=1e-9)
    assert merged["b"].tolist() == [[pytest.approx(0.4)]]
    assert merged["a"].dtype == np.float32


def test_the_denominator_is_the_number_of_sites_at_the_start() -> None:
    assert mean(update([0.8, 0.0, 0.0]), own=terms(4))["a"].tolist() == pytest.approx(
        [0.2, 0.0, 0.0], rel=1e-6, abs=1e-9
    )


def test_what_a_round_does_not_train_is_neither_noised_nor_looked_at() -> None:
    merged = mean(update([0.0, 0.5, 0.0], 100.0), own=terms(1, noise=1.0), trained=["b"])
    assert merged["a"].tolist() == [0.0, 0.0, 0.0]
    assert merged["b"].tolist() != [[100.0]]
    assert merged["b"].tolist() != [[0.0]]


def test_updates_start_from_the_global_model() -> None:
    like = {**ZERO, "a": np.full(3, 10.0, np.float32)}
    merged = mean(update([10.0, 10.5, 10.0]), own=terms(1), like=like)
    assert merged["a"].tolist() == pytest.approx([10.0, 10.5, 10.0])


def test_an_update_of_zero_adds_nothing_and_whole_numbers_stay_as_they_are() -> None:
    merged = mean(update([0.0, 0.0, 0.0]), own=terms(1))
    assert merged["a"].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert merged["count"].tolist() == [7]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e38])
def test_one_site_moves_the_sum_by_the_bound_at_most(odd: float) -> None:
    own = terms(4, bound=0.5)
    base = mean(update([0.1, 0.2, 0.0]), own=own)["a"]
    more = mean(update([0.1, 0.2, 0.0]), update([odd, 1.0, 0.0]), own=own)["a"]
    assert 4 * float(np.linalg.norm(more.astype(np.float64) - base)) <= 0.5 * (1 + 1e-5)


def test_the_noise_is_of_the_stated_size_and_secret() -> None:
    like = {"a": np.zeros(100_000, np.float32)}
    replies = [reply({"a": np.zeros(100_000, np.float32)}) for _ in range(2)]
    own = terms(5, noise=2.0, bound=0.3)
    first, second = (mean(one, own=own, like=like)["a"] for one in replies)
    assert float(first.std()) == pytest.approx(2.0 * 0.3 / 5, rel=0.02)
    assert not np.array_equal(first, second)


def test_a_round_is_released_once(tmp_path: Path) -> None:
    config = Config().with_values({"privacy.unit": "site", "privacy.epsilon": 8, "federation.rounds": 2})
    calls = []

    def collect(updates: Gathered) -> GatheredRound:
        calls.append(1)
        updates.add(update([1.0, 0.0, 0.0]))
        [merged] = updates.replies()
        arrays = {name: array.numpy() for name, array in merged.content.array_records["arrays"].items()}
        return GatheredRound(arrays=arrays, norm=3.0, sites={"a": {}})

    before = State(arrays=ZERO, scaling={}, norm=2.0)
    first = SiteUnit(config, "run", 4, tmp_path).release(1, before, collect)
    again = SiteUnit(config, "run", 4, tmp_path).release(1, before, collect)  # another process, after a crash
    assert len(calls) == 1
    assert all(np.array_equal(first.arrays[name], again.arrays[name]) for name in ZERO)
    assert (first.norm, again.norm, again.sites) == (3.0, 2.0, {})
    unit = SiteUnit(config, "run", 4, tmp_path)
    unit.release(2, before, collect)
    figures = unit.figures()["federation"]
    assert figures["steps"] == 2
    assert 7.9 < figures["epsilon"] <= 8.0
    with pytest.raises(BudgetSpent, match="planned steps"):
        unit.release(3, before, collect)


def test_a_round_that_failed_spends_nothing(tmp_path: Path) -> None:
    config = Config().with_values({"privacy.unit": "site", "privacy.epsilon": 8, "federation.rounds": 2})
    unit = SiteUnit(config, "run", 4, tmp_path)

    def fail(updates: Gathered) -> GatheredRound:
        raise RuntimeError("no site answered")

    with pytest.raises(RuntimeError):
        unit.release(1, State(arrays=ZERO, scaling={}), fail)
    assert unit.figures()["federation"]["steps"] == 0
