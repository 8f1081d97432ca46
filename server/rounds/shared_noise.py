"""One summed step of all sites, with the noise that they share, as a round's new model.

Guarantee: that of ``common.privacy.shared.noised_sum``; the server adds whole numbers and takes one step, which costs
nothing more. The sum of clipped gradients is divided by the expected batch of all sites' units, whoever is in it: the
divisor is public, and a site that is missing contributes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Message, MetricRecord, RecordDict
from torch import nn

from common.config.kinds import CENTRE
from common.config.settings import Config
from common.errors import FederationError
from common.learning.centring import moved
from common.learning.training import learning_rate, optimizer_over
from common.privacy.centre import NORM, rate_of
from common.privacy.shared.grid import Grid, wrapped
from common.privacy.sharing import least_sites, shared_among
from common.privacy.terms import Terms
from common.protocol import ARRAYS, EXAMPLES, METRICS
from server.rounds.gathering import Arrays, carrying

Whole = npt.NDArray[np.int64]


class SharedStep:
    """The sum of one round, and the step that it makes.

    Args:
        config: of the run.
        like: the global model that the gradients are at.
        number: of the round.
        units: of all sites together, whoever takes part.
    """

    def __init__(self, config: Config, like: Arrays, number: int, units: int) -> None:
        self._config, self._like, self._number = config, like, number
        self._expected = config.privacy.sample_rate * units
        self.names = sorted(moved(like, number, config))
        own = {name: like[name] for name in self.names}
        self.grid = Grid.of(own, NORM if self.names == [CENTRE] else config.privacy.max_grad_norm)
        self.entries = self.grid.entries
        self._sum: Whole = np.zeros(self.grid.entries, np.int64)
        self._sites = 0

    def add(self, reply: Message) -> None:
        """Add a site's part; the reply loses its arrays."""
        arrays = reply.content.array_records[ARRAYS]
        own = np.concatenate([arrays[name].numpy().ravel().astype(np.int64) for name in self.names])
        self.add_sum(own, 1)
        arrays.clear()

    def add_sum(self, values: Whole, sites: int) -> None:
        """Add an opened sum of several sites' parts.

        Args:
            values: flat, in the order of ``names``, as known modulo 2^32.
            sites: whose parts are in it.
        """
        self._sum, self._sites = wrapped(self._sum + values), self._sites + sites

    def replies(self) -> list[Message]:
        """One reply that carries the new model; none where no site's part came.

        Raises:
            FederationError: fewer sites' parts came than are to be honest, and one more, which knows its own.
        """
        if not self._sites:
            return []
        self.check_enough(self._sites)
        content = RecordDict({METRICS: MetricRecord({EXAMPLES: 1.0})})
        return [carrying(self._stepped(), Message(content, 0, "train"))]

    def check_enough(self, sites: int) -> None:
        """Check that a sum of so many sites' parts may be made.

        Raises:
            FederationError: fewer came than are to be honest, and one more, which knows its own.
        """
        if sites < (least := least_sites(self._config.privacy.honest)):
            raise FederationError(
                f"round {self._number}: a sum of {sites} sites' noise, expected at least {least} (--honest "
                f"{self._config.privacy.honest}, and one that knows its own part); go on with --resume when the others "
                "are back, or as a new run from its model, --initial: the lost round counts"
            )

    def beside(self) -> dict[str, Arrays]:
        """Nothing: no strategy with records beside the model has shared noise."""
        return {}

    def _stepped(self) -> Arrays:
        """The model after one step of the run's optimizer, which begins anew each round, along the sum."""
        parameters = {name: nn.Parameter(torch.from_numpy(self._like[name].copy())) for name in self.names}
        gradient = self._sum * (self.grid.step / self._expected)
        ends = np.cumsum([self._like[name].size for name in self.names])[:-1]
        for (name, parameter), own in zip(parameters.items(), np.split(gradient, ends), strict=True):
            parameter.grad = torch.from_numpy(own.reshape(self._like[name].shape)).to(parameter.dtype)
        self._optimizer([*parameters.values()]).step()
        return {**self._like, **{name: own.detach().numpy() for name, own in parameters.items()}}

    def _optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if self.names == [CENTRE]:
            return torch.optim.SGD(parameters, rate_of(self._number - 1))
        training = self._config.training
        return optimizer_over(
            parameters, training, learning_rate(training, self._number, self._config.federation.rounds)
        )


def refuse_unfit(config: Config, like: Arrays, units: Mapping[str, int]) -> None:
    """Refuse, before round 1, a run whose sums could be none of the numbers that are told apart.

    Args:
        config: of the run.
        like: the global model.
        units: of each site.

    Raises:
        UsageError: as ``Grid.variance`` and ``Grid.refuse_overflow``, or ``common.privacy.sharing.shared_among``.
    """
    shared_among(config, len(units))
    noise = Terms.of(config.with_values({"privacy.budget": "inf"}), min(units.values()), []).noise_multiplier
    for number in (1, config.federation.rounds):  # one that finds the centre, where there are such, and another
        grid = SharedStep(config, like, number, sum(units.values())).grid
        grid.refuse_overflow(sum(units.values()), grid.variance(noise, config.privacy.honest), len(units))
