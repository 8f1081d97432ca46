from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message
from flwr.serverapp.strategy import FedAdam, FedAvgM, FedMedian

from common.config.kinds import CENTRE
from common.config.settings import FederationConfig
from common.errors import FederationError
from server.rounds import site_scores
from server.rounds.gathering import Gathered
from server.rounds.strategy import Averaging, _Chosen
from tests.server.replies import Arrays, reply

START: Arrays = {"b": np.zeros(3, np.float32), "a": np.ones((2, 2), np.float32)}


def update(value: float) -> Arrays:
    return {name: array + np.float32(value) for name, array in START.items()}


def gathered(plan: Averaging, replies: Iterable[Message]) -> Gathered:
    updates = plan.gathered()
    for message in replies:
        updates.add(message)
    return updates


def aggregate(name: str, values: Sequence[tuple[float, float]], rounds: int = 1, **more: Any) -> Arrays:
    plan = Averaging(FederationConfig(strategy=name, **more))
    arrays: Arrays | None = START
    for number in range(1, rounds + 1):
        assert arrays is not None
        plan.messages(number, arrays, [1])
        updates = gathered(plan, [reply(update(value), examples) for value, examples in values])
        arrays = plan.aggregate(number, updates, START)
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
    [mean] = gathered(Averaging(FederationConfig()), replies).replies()
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
    arrays = site_scores.record(START)
    for number in (1, 2, 3):
        plan.configure_train(number, arrays, ConfigRecord(), _Chosen([1]))
        arrays, _ = plan.aggregate_train(number, [reply(dict(sorted(update(v).items())), n) for v, n in values])
    for key, value in ours.items():
        np.testing.assert_allclose(value, arrays[key].numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["fedadam", "fedyogi"])
def test_an_adaptive_rate_that_nobody_sets_is_a_tenth(name: str) -> None:
    values = [(1.0, 1), (4.0, 3), (2.0, 2)]
    usual, set_to = (aggregate(name, values, rounds=2, server_learning_rate=rate) for rate in (0.0, 0.1))
    lower = aggregate(name, values, rounds=2, server_learning_rate=0.03)
    for key, value in usual.items():
        np.testing.assert_array_equal(value, set_to[key])
        assert (value != lower[key]).any()


def test_the_median_ignores_one_wild_site() -> None:
    new = aggregate("fedmedian", [(1.0, 1), (2.0, 1), (1e6, 1)])
    np.testing.assert_allclose(new["b"], 2.0)


def test_krum_takes_one_of_those_that_agree() -> None:
    new = aggregate("krum", [(1.0, 1), (1.1, 1), (1.2, 1), (0.9, 1), (50.0, 1)], malicious=1)
    assert float(new["b"][0]) < 2


def test_multikrum_is_the_mean_of_all_but_those_that_stand_apart() -> None:
    new = aggregate("multikrum", [(1.0, 1), (1.1, 3), (1.2, 1), (0.9, 1), (50.0, 1)], malicious=1)
    np.testing.assert_allclose(new["b"], (1.0 + 3 * 1.1 + 1.2 + 0.9) / 6, rtol=1e-6)


@pytest.mark.parametrize(
    ("trim", "values", "mean"),
    [
        (0.0, [1e6, 1.0, 2.0], 2.0),  # a fifth of three is none: one goes at each end all the same
        (0.0, [-1e6, 1.0, 2.0, 6.0, 1e6], 3.0),
        (0.4, [-1e6, -1e6, 2.0, 1e6, 1e6], 2.0),
        (0.34, [1e6, 1.0, 2.0], 2.0),
    ],
)
def test_the_trimmed_mean_leaves_out_both_ends(trim: float, values: Sequence[float], mean: float) -> None:
    np.testing.assert_allclose(aggregate("fedtrimmedavg", [(v, 1) for v in values], trim=trim)["b"], mean)


def test_of_two_updates_there_is_no_trimmed_mean() -> None:
    with pytest.raises(FederationError, match="2 sound updates, expected at least 3"):
        aggregate("fedtrimmedavg", [(1.0, 1), (1e6, 1)])


def test_no_reply_gives_no_model() -> None:
    plan = Averaging(FederationConfig())
    assert plan.aggregate(1, plan.gathered(), START) is None


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "fedyogi", "scaffold"])
def test_what_a_strategy_remembers_goes_to_and_fro(name: str) -> None:
    config = FederationConfig(strategy=name)
    plan = Averaging(config)
    plan.messages(1, START, [1])
    sent = reply(update(1.0))
    for record in plan.declared.up:
        sent.content[record] = site_scores.record(START)
    assert plan.aggregate(1, gathered(plan, [sent]), START) is not None
    kept = plan.state()
    assert kept
    again = Averaging(config, kept).state()
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
        gathered(Averaging(FederationConfig()), many(count)).replies()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "fedyogi"])
def test_a_centre_is_the_sites_mean_whatever_the_server_remembers(name: str) -> None:
    start: Arrays = {CENTRE: np.zeros(2, np.float32), "w": np.zeros(2, np.float32)}
    config = FederationConfig(strategy=name, server_learning_rate=0.5)
    plan, arrays = Averaging(config), start
    for number in (1, 2, 3):
        plan.messages(number, arrays, [1])
        own = [{CENTRE: np.full(2, place, np.float32), "w": arrays["w"] + np.float32(1)} for place in (1.0, 3.0)]
        updates = gathered(plan, [reply(own[0], 1), reply(own[1], 3)])
        found = plan.aggregate(number, updates, start)
        assert found is not None
        arrays = found
        np.testing.assert_allclose(arrays[CENTRE], 2.5)
    assert not np.allclose(arrays["w"], 3.0)


def test_each_node_gets_its_message_with_what_goes_beside_the_model() -> None:
    plan = Averaging(FederationConfig(strategy="scaffold"))
    first, second = plan.messages(3, START, [7, 2])
    assert [first.metadata.dst_node_id, second.metadata.dst_node_id] == [7, 2]
    assert first.content is not second.content
    for message in (first, second):
        assert set(message.content) == {"arrays", "config", "control"}
        assert dict(message.content.config_records["config"]) == {"server-round": 3}
        control = {name: array.numpy() for name, array in message.content.array_records["control"].items()}
        assert {name: values.shape for name, values in control.items()} == {"a": (2, 2), "b": (3,)}
        assert all(values.dtype == np.float32 and not values.any() for values in control.values())


def test_fedprox_sends_its_weight() -> None:
    [message] = Averaging(FederationConfig(strategy="fedprox", proximal_mu=0.5)).messages(1, START, [1])
    assert dict(message.content.config_records["config"]) == {"server-round": 1, "proximal-mu": 0.5}


def test_the_servers_control_moves_by_the_share_that_took_part() -> None:
    plan = Averaging(FederationConfig(strategy="scaffold"))
    for change, examples, share in ((1.0, 1, 0.5), (3.0, 3, 1.0)):
        replies = [reply(update(0.0), examples), reply(update(0.0), 1)]
        for own, value in zip(replies, (change, 0.0), strict=True):
            own.content["control"] = site_scores.record({name: np.full_like(v, value) for name, v in START.items()})
        plan.aggregate(1, gathered(plan, replies), START, share)
    memory = plan.state()
    np.testing.assert_allclose(memory["memory/b"], 0.5 * 0.5 + 3.0 * 3 / 4)
    assert memory["memory/a"].dtype == np.float32
