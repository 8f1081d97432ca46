"""SCAFFOLD (Karimireddy et al., ICML 2020): each site steers against its own drift, by control variates.

A site i keeps a control c_i, about the direction of its own steps, and the server a control c, the mean of all sites'.
After each step of its optimizer, of learning rate η, a site moves the weights by η (c_i - c): its steps then point
where the mean site's point, however many it takes. After K steps from x to y

    c_i ← c_i - c + (x - y) / (K η)                      (the paper's option II)

and the change of c_i goes to the server beside the model, which moves c by the mean of the changes, weighted as the
model's mean is, times the share of all weight that took part. With every c_i of 0 at first c stays their weighted mean,
whoever takes part in a round; a site that is away keeps its c_i.

With plain SGD this is the paper's algorithm, with a server's rate of 1. With momentum, clipping, weight decay or AdamW
it is an approximation: the direction that a control stands for is that of the optimizer's whole steps over η, in AdamW
of about length 1 a weight, and not a mean of gradients. η is the schedule's rate of the round: where it falls from
round to round, the controls are of directions all the same, for each is divided by the rate that it was made with.

A round's c_i counts where its update did: with each message a site is told which of its updates was taken last, and it
starts from what it kept then. So one that came late, or was refused, leaves no trace in c_i, as it leaves none in c.

A site that has nothing of an earlier round begins with c_i = 0, as one does that takes part for the first time. Of one
that has lost its disk c then still holds the old c_i's share, which a change can't take out any more: c is off by that
site's weight times its lost control until the run ends, or begins anew with the refit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from common.strategies.contract import Arrays, Ended, Local, Strategy

if TYPE_CHECKING:
    from torch import Tensor, nn

CONTROL = "control"  # the record: down it is c, up the change of c_i


class Scaffold(Strategy):
    """See above."""

    def begin(self, local: Local) -> Steering:
        """A site's part in a round."""
        return Steering(local)

    def send(self, memory: Arrays, model: Arrays) -> dict[str, Arrays]:
        """The server's control."""
        return {CONTROL: memory or {name: values.astype("float32") * 0 for name, values in model.items()}}

    def remember(self, memory: Arrays, means: Mapping[str, Arrays], share: float) -> Arrays:
        """The server's control, moved by the mean change of the sites'."""
        changes = means[CONTROL].items()
        return {name: (memory.get(name, 0.0) + share * change).astype("float32") for name, change in changes}


class Steering:
    """A site's part in a round.

    Args:
        local: what it has.
    """

    def __init__(self, local: Local) -> None:
        self._local, self._server = local, local.sent[CONTROL]
        self._own = local.kept or {name: 0.0 * control for name, control in self._server.items()}
        self._pull: dict[str, Tensor] = {}
        self._taken = 0

    def after_step(self, model: nn.Module) -> None:
        """Move the weights that are trained by η (c_i - c)."""
        trained = [(name, weights) for name, weights in model.named_parameters() if weights.requires_grad]
        if not self._pull:
            pulls = {name: self._local.rate * (self._server[name] - self._own[name]) for name, _ in trained}
            self._pull = {name: pulls[name].to(weights.device) for name, weights in trained}
        for name, weights in trained:
            weights.data.sub_(self._pull[name])
        self._taken += 1

    def end(self, model: nn.Module) -> Ended:
        """The site's new control, and its change; of weights that were not trained, as before."""
        new = dict(self._own)
        whole = self._taken * self._local.rate
        for name, weights in model.named_parameters():
            if name in self._pull:
                drift = (self._local.start[name] - weights.detach().cpu()) / whole
                new[name] = self._own[name] - self._server[name] + drift
        return Ended(told={CONTROL: {name: new[name] - self._own[name] for name in new}}, kept=new)


SCAFFOLD = Scaffold(name="scaffold", title="SCAFFOLD", down=(CONTROL,), up=(CONTROL,), keeps=True)
