"""Canaries that are recordings: real ones under wrong labels, to see whether a model remembers them.

Threat model (black box, of what is published): the auditor made the canaries and sees the model that a site got and the
one that it sent back in each round, but not the steps between, nor which canaries were drawn. It is the attack that
whoever has a recording and the messages could make; it shows less than crafted gradients do
(``common.privacy.canaries``), and what it shows is what a recording's owner would mind.

A wrong label makes a canary memorable: nothing else in the data teaches it (Nasr et al., S&P 2021). Its score is how
much its loss fell, summed over rounds. Canaries are taken out of the site's own recordings, so that each of these is
still in one unit at most, and the ledger's ε is true of it. A speaker whose recordings were canaries would be in many
units: with the unit ``speaker`` there are none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.data.dataset import SpeechDataset
from common.errors import UsageError
from common.learning.training import device
from common.seeds import torch_generator


class RecordedCanaries:
    """The canaries of one site.

    Args:
        data: the site's training recordings, of which the canaries are made.
        included: ``(count,)`` booleans, the coins.
        seed: of which recordings are canaries, and under which labels; the same in every round.

    Raises:
        UsageError: no canary, or no recording that isn't one.
    """

    def __init__(self, *, data: SpeechDataset, included: Tensor, seed: int) -> None:
        count, generator = len(included), torch_generator(seed, "canary recordings")
        if not 0 < count < len(data):
            raise UsageError(f"{count} canaries of {len(data)} recordings, expected 1 to {len(data) - 1}")
        order = torch.randperm(len(data), generator=generator)
        drawn, rest = order[:count], order[count:].sort().values
        shift = torch.randint(1, len(data.classes), (count,), generator=generator)
        self.data = data.part(drawn, (data.labels[drawn] + shift) % len(data.classes))
        self.included = included
        self.training = data.part(rest).joined(self.data.part(torch.nonzero(included)[:, 0]))
        self.scores = torch.zeros(count, dtype=torch.float64)

    @property
    def planted(self) -> int:
        """How many are included: the last of ``training``."""
        return int(self.included.sum())

    def see(self, before: Tensor, after: nn.Module) -> None:
        """Add a round's evidence to ``scores``.

        Args:
            before: what ``losses`` says of the model that the site got.
            after: the model that it sends back.
        """
        self.scores += (before - self.losses(after)).double()

    def see_sums(self, model: nn.Module, *, first: bool, last: bool) -> None:
        """Add a round's evidence to ``scores`` where the sites share one step, and see no model but the global one.

        What a loss fell by over all rounds is its first value less its last.

        Args:
            model: that the site got.
            first: whether the round is the run's first.
            last: whether it is the last, whose own step no site sees.
        """
        if first is not last:
            losses = self.losses(model).double()
            self.scores += losses if first else -losses

    @torch.no_grad()
    def losses(self, model: nn.Module) -> Tensor:
        """Each canary's cross-entropy, ``(count,)``."""
        where = device()
        model.to(where).eval()
        found = torch.zeros(len(self.data))
        for batch in self.data.in_order():
            step = batch.to(where)
            logits = model(step.features, step.lengths).float()
            found[batch.index] = nn.functional.cross_entropy(logits, step.labels, reduction="none").cpu()
        return found
