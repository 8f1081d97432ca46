from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.supercore.task_identity import TaskIdentity

from common.config.kinds import CENTRE
from common.config.settings import Config
from common.errors import FederationError
from server.rounds.shared_noise import SharedStep
from tests.server.replies import Arrays, reply

LIKE: Arrays = {
    "head.bias": np.zeros(2, np.float32),
    "head.weight": np.full((2, 2), 0.5, np.float32),
    CENTRE: np.zeros(3, np.float32),
}
SETTINGS = {
    "privacy.noise": "shared",
    "privacy.honest": 3,
    "privacy.epsilon": 1.0,
    "privacy.sample_rate": 0.5,
    "privacy.max_grad_norm": 2.0,
    "training.optimizer": "sgd",
    "training.momentum": 0.0,
    "training.weight_decay": 0.0,
    "training.learning_rate": 4.0,
    "training.schedule": "constant",
    "federation.rounds": 20,
    "federation.secure": True,
    "model.statistics": "contours",
}


@pytest.fixture(autouse=True)
def _messages_can_be_made() -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


def step(number: int = 3, units: int = 100, **settings: Any) -> SharedStep:
    return SharedStep(Config().with_values(SETTINGS | settings), LIKE, number, units)


def arrays_of(own: SharedStep) -> Arrays:
    [merged] = own.replies()
    return {name: array.numpy() for name, array in merged.content.array_records["arrays"].items()}


def part(bias: list[int], weight: list[list[int]]) -> Any:
    return reply({"head.bias": np.array(bias, np.int32), "head.weight": np.array(weight, np.int32)})


def test_the_sum_is_divided_by_the_expected_batch_of_all_sites_and_makes_one_step() -> None:
    own, grid = step(), 2.0 / (500.5 * 6**0.5)
    for bias in (1000, 2000, -500, 500):
        own.add(part([bias, 0], [[0, 7], [0, 0]]))
    made = arrays_of(own)
    assert made["head.bias"] == pytest.approx([-4.0 * 3000 * grid / (0.5 * 100), 0.0], rel=1e-6)
    assert made["head.weight"].ravel() == pytest.approx([0.5, 0.5 - 4.0 * 28 * grid / 50, 0.5, 0.5], rel=1e-6)
    assert made[CENTRE].tolist() == [0.0, 0.0, 0.0]
    assert {own.dtype for own in made.values()} == {np.dtype(np.float32)}


def test_an_opened_sum_and_the_parts_one_by_one_make_the_same_model() -> None:
    one, whole = step(), step()
    parts = [([5, -(2**31)], [[1, 2], [3, 4]]), ([-9, -5], [[0, 0], [7, 0]]), ([0, 1], [[0, 0], [0, 0]])] * 2
    for bias, weight in parts:
        one.add(part(bias, weight))
    flat = np.array([[*bias, *np.ravel(weight)] for bias, weight in parts], np.int64).sum(axis=0).reshape(6)
    whole.add_sum((flat + 2**31) % 2**32 - 2**31, len(parts))  # names are in the order of the alphabet
    first, second = arrays_of(one), arrays_of(whole)
    assert all(first[name].tobytes() == second[name].tobytes() for name in LIKE)


def test_a_round_that_finds_the_centre_moves_it_alone_and_less_each_round() -> None:
    moved = []
    for number in (1, 2):
        own = step(number)
        for _ in range(4):
            own.add(reply({CENTRE: np.array([-1000, 0, 0], np.int32)}))
        made = arrays_of(own)
        assert made["head.weight"].tolist() == LIKE["head.weight"].tolist()
        moved.append(float(made[CENTRE][0]))
    assert moved[0] == pytest.approx(4000 / (500.5 * 3**0.5) / 50, rel=1e-6)
    assert moved[1] == pytest.approx(moved[0] / 2**0.5, rel=1e-6)


def test_a_sum_of_too_few_sites_ends_the_run_in_one_line() -> None:
    own = step()
    for _ in range(3):
        own.add(part([1, 1], [[1, 1], [1, 1]]))
    with pytest.raises(FederationError, match=r"round 3: a sum of 3 sites' noise, expected at least 4 \(--honest 3"):
        own.replies()
    fewer = step(**{"privacy.honest": 2})
    fewer.add_sum(np.ones(6, np.int64), 3)
    assert len(fewer.replies()) == 1


def test_where_no_site_answers_there_is_no_model() -> None:
    assert step().replies() == []
