"""Canaries that are recordings: real ones under wrong labels, put in to see whether a model remembers them.

Threat model (black box, of what is published): the auditor made the canaries and sees the model that a site got and the
one that it sent back in each round, but not the steps between, nor which canaries were drawn. It is the attack that
whoever has a recording and the messages could make; it shows less than crafted gradients do
(``common.privacy.audits.canaries``), and what it shows is what a recording's owner would mind.

A wrong label makes a canary memorable: nothing else in the data teaches it (Nasr et al., S&P 2021). Its score is how
much its loss fell, summed over rounds. Included ones are one more unit each: of speakers, one speaker with a single
recording.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from common.dataset import SpeechDataset
from common.errors import UsageError
from common.seeds import torch_generator
from common.training import device


def mislabelled(data: SpeechDataset, count: int, seed: int) -> SpeechDataset:
    """Canaries made of a site's recordings: ``count`` distinct pairs of a recording and a label that isn't its own.

    Args:
        data: the site's training recordings.
        count: of canaries.
        seed: the same seed makes the same canaries, in every round.

    Raises:
        UsageError: there are fewer such pairs, or none is asked for.
    """
    wrong = len(data.classes) - 1
    if not 0 < count <= len(data) * wrong:
        raise UsageError(f"{count} canaries of {len(data)} recordings, expected 1 to {len(data) * wrong}")
    pairs = torch.randperm(len(data) * wrong, generator=torch_generator(seed, "canary recordings"))[:count]
    index, shift = pairs // wrong, pairs % wrong + 1
    labels = (data.labels[index] + shift) % len(data.classes)
    return data.relabelled(index, labels, [f"canary {number}" for number in range(count)])


class RecordedCanaries:
    """The canaries of one site.

    Args:
        data: of ``mislabelled``.
        included: ``(count,)`` booleans, the coins.
    """

    def __init__(self, *, data: SpeechDataset, included: Tensor) -> None:
        if len(included) != len(data):
            raise UsageError(f"{len(included)} coins for {len(data)} canaries")
        self.data, self.included = data, included
        self.scores = torch.zeros(len(data), dtype=torch.float64)

    def joined(self, data: SpeechDataset) -> SpeechDataset:
        """A site's recordings, and the included canaries behind them."""
        index = torch.nonzero(self.included)[:, 0]
        own = self.data.relabelled(index, self.data.labels[index], [self.data.speakers[i] for i in index.tolist()])
        return data.joined(own)

    @property
    def guests(self) -> int:
        """How many are included."""
        return int(self.included.sum())

    def see(self, before: Tensor, after: nn.Module) -> None:
        """Add a round's evidence to ``scores``.

        Args:
            before: what ``losses`` says of the model that the site got.
            after: the model that it sends back.
        """
        self.scores += (before - self.losses(after)).double()

    @torch.no_grad()
    def losses(self, model: nn.Module) -> Tensor:
        """Each canary's cross-entropy, ``(count,)``."""
        where = device()
        model.to(where).eval()
        found = torch.empty(len(self.data))
        for batch in self.data.in_order():
            step = batch.to(where)
            logits = model(step.features, step.lengths).float()
            found[batch.index] = nn.functional.cross_entropy(logits, step.labels, reduction="none").cpu()
        return found
