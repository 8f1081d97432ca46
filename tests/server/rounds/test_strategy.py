from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message
from flwr.serverapp.strategy import FedAdam, FedAvgM, FedMedian

from common.config.kinds import CENTRE
from common.config.settings import FederationConfig
from server.rounds import strategy
from server.rounds.loop import _Chosen
from server.rounds.site_scores import record
from tests.server.replies import Arrays, reply

START: Arrays = {"b": np.zeros(3, np.float32), "a": np.ones((2, 2), np.float32)}


def update(value: float) -> Arrays:
    return {name: array + np.float32(value) for name, array in START.items()}


def aggregate(name: str, values: Sequence[tuple[float, float]], rounds: int = 1, **more: Any) -> Arrays:
    config = FederationConfig(strategy=name, **more)
    plan = strategy.make(config)
    arrays: Arrays | None = START
    for number in range(1, rounds + 1):
        assert arrays is not None
        plan.configure_train(number, record(arrays), ConfigRecord(), _Chosen([1]))  # type: ignore[arg-type]
        replies = [reply(update(value), examples) for value, examples in values]
        arrays = strategy.aggregate(plan, config, number, replies, START)
    assert arrays is not None
    return arrays


def test_fedavg_is_the_mean_weighted_by_examples() -> None:
    new = aggregate("fedavg", [(1.0, 1), (4.0, 3)])
    np.testing.assert_allclose(new["b"], 3.25)
    np.testing.assert_allclose(new["a"], 4.25)
    assert new["a"].dtype == np.float32


def test_the_sum_is_in_float64() -> None:
    """In float32 the small updates would vanish beside the large one: 1e8 + 1 = 1e8."""
    values = [(1e8, 1.0), *[(1.0, 1.0)] * 100, (-1e8, 1.0)]
    replies = [reply({"w": np.full(1, value, np.float32)}, n) for value, n in values]
    [mean] = strategy.mean_reply(replies)
    assert mean.content.array_records["arrays"]["w"].numpy()[0] == np.float32(100 / 102)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        (
            "fedavgm",
            lambda: FedAvgM(min_train_nodes=1, min_available_nodes=1, server_learning_rate=0.5, server_momentum=0.9),
        ),
        ("fedadam", lambda: FedAdam(min_train_nodes=1, min_available_nodes=1, eta=0.5)),
        ("fedmedian", lambda: FedMedian(min_train_nodes=1, min_available_nodes=1)),
    ],
)
def test_it_is_flowers_own_strategy(name: str, theirs: Any) -> None:
    values = [(1.0, 1), (4.0, 3), (2.0, 2)]
    ours = aggregate(name, values, rounds=3, server_learning_rate=0.5)
    plan = theirs()
    arrays = record(START)
    for number in (1, 2, 3):
        plan.configure_train(number, arrays, ConfigRecord(), _Chosen([1]))
        arrays, _ = plan.aggregate_train(number, [reply(dict(sorted(update(v).items())), n) for v, n in values])
    for key, value in ours.items():
        np.testing.assert_allclose(value, arrays[key].numpy(), rtol=1e-6)


def test_the_median_ignores_one_wild_site() -> None:
    new = aggregate("fedmedian", [(1.0, 1), (2.0, 1), (1e6, 1)])
    np.testing.assert_allclose(new["b"], 2.0)


def test_krum_takes_one_of_those_that_agree() -> None:
    new = aggregate("krum", [(1.0, 1), (1.1, 1), (1.2, 1), (0.9, 1), (50.0, 1)], malicious=1)
    assert float(new["b"][0]) < 2


def test_no_reply_gives_no_model() -> None:
    config = FederationConfig()
    assert strategy.aggregate(strategy.make(config), config, 1, [], START) is None


def test_what_a_strategy_remembers_goes_to_and_fro() -> None:
    for name in ("fedavgm", "fedadam", "fedyogi"):
        plan = strategy.make(FederationConfig(strategy=name))
        plan.configure_train(1, record(START), ConfigRecord(), _Chosen([1]))  # type: ignore[arg-type]
        plan.aggregate_train(1, list(strategy.mean_reply([reply(update(1.0))])))
        kept = strategy.state(plan)
        assert kept
        other = strategy.make(FederationConfig(strategy=name))
        strategy.restore(other, kept)
        again = strategy.state(other)
        assert set(kept) == set(again)
        assert all(np.array_equal(kept[key], again[key]) for key in kept)


def test_the_mean_holds_one_reply_at_a_time() -> None:
    size = 250_000

    def many(count: int) -> Iterator[Message]:
        for _ in range(count):
            yield reply({"w": np.ones(size, np.float32)})

    peaks = []
    for count in (5, 50):
        tracemalloc.start()
        list(strategy.mean_reply(many(count)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "fedyogi"])
def test_a_centre_is_the_sites_mean_whatever_the_server_remembers(name: str) -> None:
    start: Arrays = {CENTRE: np.zeros(2, np.float32), "w": np.zeros(2, np.float32)}
    config = FederationConfig(strategy=name, server_learning_rate=0.5)
    plan, arrays = strategy.make(config), start
    for number in (1, 2, 3):
        plan.configure_train(number, record(arrays), ConfigRecord(), _Chosen([1]))  # type: ignore[arg-type]
        own = [{CENTRE: np.full(2, place, np.float32), "w": arrays["w"] + np.float32(1)} for place in (1.0, 3.0)]
        found = strategy.aggregate(plan, config, number, [reply(own[0], 1), reply(own[1], 3)], start)
        assert found is not None
        arrays = found
        np.testing.assert_allclose(arrays[CENTRE], 2.5)
    assert not np.allclose(arrays["w"], 3.0)
