"""Privacy of sites: a trusted server clips each site's update and adds the noise.

Guarantee. The unit is a site with all its people; neighbouring federations differ in one site, added or removed. The
server clips each site's update to ``max_grad_norm`` in the L2 norm, sums, adds Gaussian noise of ``noise_multiplier *
max_grad_norm`` and divides by the number of sites that there were at the start, whoever answered. All sites take part
in every round, each with the same weight: no sampling amplifies it. It holds for the models that leave the server,
which sees the updates as they are, as may whoever can listen to it. Public: the number of sites, all settings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict

from common import protocol
from common.config.settings import Config
from common.learning.centring import moved
from common.privacy.accounting.accountants import epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.mechanism import clip_factors
from common.privacy.stream import SecretStream
from common.privacy.terms import FEDERATION, Terms, agreed
from common.seeds import seed_of
from server.run.checkpoint import Arrays


class SiteUnit:
    """The server's mechanism and ledger.

    Args:
        config: of the run.
        run: its name in the ledger.
        sites: how many there are at the start.
        folder: of ledgers.
    """

    def __init__(self, config: Config, run: str, sites: int, folder: Path) -> None:
        self.config, self.run = config, run
        self.ledger = Ledger.of_site(folder, FEDERATION)
        self.terms = agreed(self.ledger, run, config, sites)
        self._epsilon = epsilon_rdp(self.ledger.spends(self.terms.unit), self.terms.delta)

    def release(self, number: int, compute: Callable[[Callable[..., Any]], Arrays]) -> Arrays:
        """A round's new global model; one that was stored before a crash is released again, not noised again.

        Args:
            number: of the round.
            compute: runs the round with the given way to merge replies.

        Raises:
            BudgetSpent: the budget refuses another round.
        """
        with self.ledger.round(self.run, number) as entry:
            if entry.reply is not None:
                return safetensors.numpy.load(entry.reply)
            entry.reserve(self.terms.spend(1), self.terms.filter)
            insecure = seed_of(self.config.seed, number, "insecure") if self.terms.insecure_seed else None
            stream = SecretStream(insecure)
            arrays = compute(
                lambda replies, like: private_mean(replies, like, self.terms, stream, moved(like, number, self.config))
            )
            entry.store(safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}))
        return arrays

    def spent(self) -> tuple[float, float]:
        """The ε of all runs when this was last asked, or else at the start, and now; by RDP, which costs nothing."""
        before, self._epsilon = self._epsilon, epsilon_rdp(self.ledger.spends(self.terms.unit), self.terms.delta)
        return before, self._epsilon

    def figures(self) -> dict[str, Any]:
        """What the ledger says of this run."""
        own, total = self.ledger.spends(self.terms.unit, self.run), self.ledger.spends(self.terms.unit)
        return {FEDERATION: self.terms.figures(own, total, stopped=self.ledger.refused(self.run))}


def private_mean(
    replies: Iterable[Message], like: Arrays, terms: Terms, stream: SecretStream, trained: Collection[str]
) -> Iterator[Message]:
    """One reply that carries the noisy mean of the sites' clipped updates; of noise alone where none came.

    Args:
        replies: sound ones; each site at most once.
        like: the global model that the updates start from; arrays that are not of floats stay as they are.
        terms: number of sites, clipping norm, noise.
        stream: of secret random numbers.
        trained: the arrays that this round trains; nothing of the others is looked at, and they stay as they are.
    """
    names = sorted(name for name in trained if np.issubdtype(like[name].dtype, np.floating))
    start = np.concatenate([like[name].ravel().astype(np.float64) for name in names])
    total, first = torch.zeros(len(start), dtype=torch.float64), None
    for reply in replies:
        first = first or reply
        arrays = reply.content.array_records[protocol.ARRAYS]
        new = np.concatenate([arrays[name].numpy().ravel().astype(np.float64) for name in names])
        update = torch.from_numpy(new - start)[None]
        total += (clip_factors([update], terms.max_grad_norm) @ update).ravel()
        arrays.clear()
    if first is None:
        return
    noise = stream.normal(len(start)) * (terms.noise_multiplier * terms.max_grad_norm)
    mean = start + ((total + noise) / terms.units).numpy()
    sizes = np.cumsum([like[name].size for name in names])[:-1]
    own = dict(zip(names, np.split(mean, sizes), strict=True))
    merged = {n: own[n].reshape(v.shape).astype(v.dtype) if n in own else v for n, v in like.items()}
    record = ArrayRecord({name: Array(merged[name]) for name in sorted(merged)})
    first.content = RecordDict({protocol.ARRAYS: record, protocol.METRICS: MetricRecord({protocol.EXAMPLES: 1.0})})
    yield first
