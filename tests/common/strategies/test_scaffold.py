"""SCAFFOLD against the paper's algorithm, on sites whose losses are ½ Σ h (w - target)² over two weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.strategies.contract import Arrays, Local
from common.strategies.scaffold import CONTROL, SCAFFOLD

# Two sites that pull to different places with different force: the optimum of their mean is not the mean of theirs.
SITES = ((np.array([1.0, 10.0]), np.array([4.0, -2.0])), (np.array([10.0, 1.0]), np.array([-4.0, 3.0])))
OPTIMUM = sum(h * target for h, target in SITES) / sum(h for h, _ in SITES)


class Weights(nn.Module):
    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(start.clone())
        self.fixed = nn.Parameter(torch.ones(1), requires_grad=False)


def tensors(arrays: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in arrays.items()}


def train(
    model: Weights, site: int, rate: float, steps: int, after_step: Any, optimizer: Any = torch.optim.SGD
) -> None:
    h, target = (torch.from_numpy(values).float() for values in SITES[site])
    stepper = optimizer(model.parameters(), rate)
    for _ in range(steps):
        stepper.zero_grad()
        loss: Any = 0.5 * (h * (model.w - target).square()).sum()
        loss.backward()
        stepper.step()
        after_step(model)


class Run:
    """A federation with the strategy's own functions."""

    def __init__(self, sites: Sequence[int], weights: Sequence[float], optimizer: Any = torch.optim.SGD) -> None:
        self.weights, self.optimizer = dict(zip(sites, weights, strict=True)), optimizer
        self.model: Arrays = {"w": np.zeros(2, np.float32), "fixed": np.ones(1, np.float32)}
        self.memory: Arrays = {}
        self.kept: dict[int, dict[str, Tensor]] = {}

    def round(self, rate: float, steps: int, present: Sequence[int] | None = None) -> None:
        taken = list(self.weights) if present is None else present
        sent = {name: tensors(arrays) for name, arrays in SCAFFOLD.send(self.memory, self.model).items()}
        models, changes = {}, {}
        for site in taken:
            model = Weights(torch.from_numpy(self.model["w"]))
            local = Local(start=tensors(self.model), sent=sent, kept=self.kept.get(site, {}), rate=rate)
            own = SCAFFOLD.begin(local)
            train(model, site, rate, steps, own.after_step, self.optimizer)
            ended = own.end(model)
            self.kept[site] = dict(ended.kept)
            changes[site] = {name: tensor.numpy() for name, tensor in ended.told[CONTROL].items()}
            models[site] = model.w.detach().numpy()
        total = sum(self.weights[site] for site in taken)
        shares = {site: self.weights[site] / total for site in taken}
        mean: Any = {name: sum(shares[s] * changes[s][name] for s in taken) for name in self.model}
        self.model["w"] = np.asarray(sum(shares[s] * models[s] for s in taken), np.float32)
        self.memory = SCAFFOLD.remember(self.memory, {CONTROL: mean}, total / sum(self.weights.values()))


def paper(weights: Sequence[float], rounds: Sequence[tuple[float, int, Sequence[int]]]) -> tuple[Any, Any, list[Any]]:
    """Algorithm 1 with option II and weighted means, in float64: the model, c and every c_i."""
    x, c, own = np.zeros(2), np.zeros(2), [np.zeros(2), np.zeros(2)]
    for rate, steps, present in rounds:
        ends, changes = [], []
        for i in present:
            h, target = SITES[i]
            y = x.copy()
            for _ in range(steps):
                y = y - rate * (h * (y - target) - own[i] + c)
            new = own[i] - c + (x - y) / (steps * rate)
            ends.append(y)
            changes.append(new - own[i])
            own[i] = new
        shares = np.array([weights[i] for i in present])
        x = x + (shares[:, None] * (np.array(ends) - x)).sum(0) / shares.sum()
        c = c + (shares[:, None] * np.array(changes)).sum(0) / sum(weights)
    return x, c, own


@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, 3.0)])
@pytest.mark.parametrize("present", [[(0, 1)] * 4, [(0, 1), (0,), (1,), (0, 1), (1,)], [(1,), (0,), (0, 1)]])
def test_it_is_the_papers_algorithm(weights: tuple[float, float], present: list[tuple[int, ...]]) -> None:
    run, rates = Run((0, 1), weights), [0.03 * 0.9**i for i in range(len(present))]
    for rate, sites in zip(rates, present, strict=True):
        run.round(rate, 5, sites)
    x, c, own = paper(weights, [(rate, 5, sites) for rate, sites in zip(rates, present, strict=True)])
    np.testing.assert_allclose(run.model["w"], x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.memory["w"], c, rtol=1e-4, atol=1e-4)
    for site in (0, 1):
        np.testing.assert_allclose(run.kept[site]["w"], own[site], rtol=1e-4, atol=1e-4)
    mean = (weights[0] * own[0] + weights[1] * own[1]) / sum(weights)  # what c stands for, whoever was away
    np.testing.assert_allclose(c, mean, atol=1e-12)


def test_what_is_not_trained_has_no_control() -> None:
    run = Run((0, 1), (1.0, 1.0))
    run.round(0.03, 5)
    run.round(0.03, 5)
    assert run.memory["fixed"].tolist() == [0.0]
    assert run.kept[0]["fixed"].tolist() == [0.0]
    assert {name: values.dtype for name, values in run.memory.items()} == dict.fromkeys(run.model, np.float32)


def fedavg(rounds: int, rate: float, steps: int, sites: Sequence[int], optimizer: Any = torch.optim.SGD) -> Any:
    w = torch.zeros(2)
    for _ in range(rounds):
        ends = []
        for site in sites:
            model = Weights(w)
            train(model, site, rate, steps, lambda _: None, optimizer)
            ends.append(model.w.detach())
        w = torch.stack(ends).mean(0)
    return w.numpy()


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_a_site_alone_trains_as_without(optimizer: Any) -> None:
    """Its control is the server's: nothing is left to steer against."""
    run = Run((0,), (5.0,), optimizer)
    for _ in range(4):
        run.round(0.03, 5)
    np.testing.assert_allclose(run.model["w"], fedavg(4, 0.03, 5, (0,), optimizer), rtol=1e-5)


def test_with_many_local_steps_it_comes_nearer_to_the_optimum_than_fedavg() -> None:
    run = Run((0, 1), (1.0, 1.0))
    for _ in range(40):
        run.round(0.03, 20)
    far = np.linalg.norm(fedavg(40, 0.03, 20, (0, 1)) - OPTIMUM)
    near = np.linalg.norm(run.model["w"] - OPTIMUM)
    assert far > 0.5
    assert near < 0.01


def test_a_round_without_a_step_of_the_optimizer_leaves_the_control_as_it_was() -> None:
    sent = {CONTROL: {"w": torch.ones(2), "fixed": torch.zeros(1)}}
    kept = {"w": torch.full((2,), 3.0), "fixed": torch.zeros(1)}
    own = SCAFFOLD.begin(Local(start={"w": torch.zeros(2)}, sent=sent, kept=kept, rate=0.1))
    ended = own.end(Weights(torch.ones(2)))
    assert ended.kept["w"].tolist() == [3.0, 3.0]
    assert not any(tensor.any() for tensor in ended.told[CONTROL].values())
