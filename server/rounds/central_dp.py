"""Privacy of sites: a trusted server clips each site's update and adds the noise.

Guarantee. The unit is a site with all its people; neighbouring federations differ in one site, whose place stays and
which contributes nothing in one of them (a site that does not answer is such a one). The server clips each site's
update to ``max_grad_norm`` in the L2 norm, sums, adds Gaussian noise of ``noise_multiplier * max_grad_norm`` and
divides by the number of sites that there were at the start, whoever answered. All sites take part in every round, each
with the same weight: no sampling amplifies it. It holds for the models that leave the server, which sees the updates as
they are, as may whoever can listen to it. Public: the number of sites and their names, how many recordings and speakers
each has, which of them answered, all settings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from flwr.app import Message

from common import protocol
from common.config.settings import Config
from common.learning.centring import moved
from common.privacy.accounting.accountants import epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.mechanism import clip_factors
from common.privacy.stream import SecretStream
from common.privacy.terms import FEDERATION, Terms, agree_terms
from common.seeds import seed_of
from server.rounds.gathering import Gathered, GatheredRound, carrying
from server.run.checkpoint import Arrays, State


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
        self.terms = agree_terms(self.ledger, run, config, sites)
        self._epsilon = epsilon_rdp(self.ledger.spends(self.terms.unit), self.terms.delta)

    def release(self, number: int, state: State, collect: Callable[[Gathered], GatheredRound]) -> GatheredRound:
        """A round with a noisy mean; one that was stored before a crash is released again, not noised again.

        Args:
            number: of the round.
            state: before it.
            collect: runs the round with the given way to gather updates.

        Raises:
            BudgetSpent: the budget refuses another round.
        """
        with self.ledger.round(self.run, number) as entry:
            if entry.reply is not None:
                return GatheredRound(arrays=safetensors.numpy.load(entry.reply), norm=state.norm, sites={})
            entry.reserve(self.terms.spend(1), self.terms.filter)
            insecure = seed_of(self.config.seed, number, "insecure") if self.terms.insecure_seed else None
            stream = SecretStream(insecure)
            trained = moved(state.arrays, number, self.config)
            done = collect(PrivateMean(state.arrays, self.terms, stream, trained))
            entry.store(safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in done.arrays.items()}))
        return done

    def advance_epsilon(self) -> tuple[float, float]:
        """Compute the ε of all runs anew, by RDP, which costs nothing; return the one of before, and this."""
        before, self._epsilon = self._epsilon, epsilon_rdp(self.ledger.spends(self.terms.unit), self.terms.delta)
        return before, self._epsilon

    def figures(self) -> dict[str, Any]:
        """What the ledger says of this run."""
        own, total = self.ledger.spends(self.terms.unit, self.run), self.ledger.spends(self.terms.unit)
        return {FEDERATION: self.terms.figures(own, total, stopped=self.ledger.refused(self.run))}


class PrivateMean:
    """The noisy mean of the sites' clipped updates.

    Args:
        like: the global model that the updates start from; arrays that are not of floats stay as they are.
        terms: number of sites, clipping norm, noise.
        stream: of secret random numbers.
        trained: the arrays that this round trains; nothing of the others is looked at, and they stay as they are.
    """

    def __init__(self, like: Arrays, terms: Terms, stream: SecretStream, trained: Collection[str]) -> None:
        self._like, self._terms, self._stream = like, terms, stream
        self._names = sorted(name for name in trained if np.issubdtype(like[name].dtype, np.floating))
        self._start = np.concatenate([like[name].ravel().astype(np.float64) for name in self._names])
        self._total = torch.zeros(len(self._start), dtype=torch.float64)
        self._first: Message | None = None

    def add(self, reply: Message) -> None:
        """Add a site's update, clipped; each site at most once. The reply loses its arrays."""
        self._first = self._first or reply
        arrays = reply.content.array_records[protocol.ARRAYS]
        new = np.concatenate([arrays[name].numpy().ravel().astype(np.float64) for name in self._names])
        update = torch.from_numpy(new - self._start)[None]
        self._total += (clip_factors([update], self._terms.max_grad_norm) @ update).ravel()
        arrays.clear()

    def replies(self) -> list[Message]:
        """One reply that carries the noisy mean; none where no update came. Each call draws other noise."""
        if self._first is None:
            return []
        terms, start, like = self._terms, self._start, self._like
        noise = self._stream.normal(len(start)) * (terms.noise_multiplier * terms.max_grad_norm)
        mean = start + ((self._total + noise) / terms.units).numpy()
        sizes = np.cumsum([like[name].size for name in self._names])[:-1]
        own = dict(zip(self._names, np.split(mean, sizes), strict=True))
        merged = {n: own[n].reshape(v.shape).astype(v.dtype) if n in own else v for n, v in like.items()}
        return [carrying(merged, self._first)]

    def beside(self) -> dict[str, Arrays]:
        """Nothing: a private run has no strategy with records beside the model."""
        return {}
