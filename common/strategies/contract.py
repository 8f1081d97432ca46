"""What a strategy declares; ``common.strategies.available`` lists those that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

Arrays = dict[str, "np.ndarray[Any, Any]"]
Tensors = dict[str, "Tensor"]


@dataclass(frozen=True, kw_only=True)
class Local:
    """What a site has when it begins a round.

    Attributes:
        start: the global model's arrays.
        sent: by name, the declared records that came beside it, on the same names and shapes.
        kept: what the site kept of the last round that it took part in; empty where there is nothing.
        rate: the learning rate of the round.
    """

    start: Mapping[str, Tensor]
    sent: Mapping[str, Mapping[str, Tensor]]
    kept: Mapping[str, Tensor]
    rate: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a site has when it has trained.

    Attributes:
        told: by name, the declared records that go to the server beside the model, on the model's names and shapes.
        kept: what the site keeps for its next round, which leaves the site in no other way than by ``told``.
    """

    told: Mapping[str, Mapping[str, Tensor]]
    kept: Mapping[str, Tensor]


class Steps(Protocol):
    """A strategy's part in one round of a site's training."""

    def after_step(self, model: nn.Module) -> None:
        """Change the weights after a step of the optimizer."""

    def end(self, model: nn.Module) -> Ended:
        """Sum the round up."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A strategy without a state: the sites train as ever, and the server makes a new model of their updates.

    Attributes:
        name: as a run's settings have it.
        title: as a report has it.
        holds_all: whether the server needs every update at once; one that doesn't gets their mean.
        down: the names of the records of arrays that the server sends beside the model: on the same names and shapes,
            in float32.
        up: of those that a site sends back beside its update, likewise; the server gets their mean, by the same weights
            as the model's.
        tells: what a site is told with each message to train, beside the round: by key, the setting in ``federation``.
        keeps: whether a site keeps something from round to round. A private run refuses that: nothing of today's
            strategies keeps is made of noised sums alone.
    """

    name: str
    title: str
    holds_all: bool = False
    down: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    tells: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = False

    def settings(self, federation: object) -> dict[str, float]:
        """What ``tells`` names, of a run's settings in ``federation``."""
        return {key: getattr(federation, name) for key, name in self.tells.items()}

    def begin(self, local: Local) -> Steps | None:
        """A site's part in a round; None where it trains as ever."""
        del local
        return None

    def send(self, memory: Arrays, model: Arrays) -> dict[str, Arrays]:
        """The records of ``down``, of what the server remembers; before round 1 that is nothing."""
        del memory, model
        return {}

    def remember(self, memory: Arrays, means: Mapping[str, Arrays], share: float) -> Arrays:
        """What the server remembers after a round.

        Args:
            memory: what it remembered before.
            means: of the records of ``up``, over the sites whose update was taken.
            share: of all sites' weight, that of those.
        """
        del means, share
        return memory
