"""Each contender of the benchmark takes whole steps."""

from __future__ import annotations

import pytest
import torch

from simulations.speed import training_steps


@pytest.mark.parametrize("name", list(training_steps.CONTENDERS))
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_a_step_changes_every_weight(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    models = []
    make = training_steps.Classifier.__init__

    def noted(self: training_steps.Classifier, lstm: torch.nn.Module, hidden: int) -> None:
        make(self, lstm, hidden)
        models.append(self)

    monkeypatch.setattr(training_steps.Classifier, "__init__", noted)
    step = training_steps.CONTENDERS[name](4, 2, *(torch.randn(3, 5, training_steps.FEATURES), torch.tensor([0, 3, 1])))
    [model] = models
    weights = [parameter.detach().clone() for parameter in model.parameters()]
    step()
    step()  # a second one finds nothing left of the first
    for before, after in zip(weights, model.parameters(), strict=True):
        assert not torch.equal(before, after)
