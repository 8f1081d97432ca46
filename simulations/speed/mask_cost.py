"""What a secure sum costs: the CPU of a site's node and of the coordinator in a round, and what is sent."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec

from client.node.secure.masked_rounds import MaskedRounds
from client.node.secure.round_opener import RoundOpener
from client.node.secure.secure_site import SecureSite
from client.node.secure.sum_rules import SumRules
from common import protocol
from common.deployment.site_kit import openssh
from common.secure.roster import LEAST, Roster
from common.secure.round_terms import RoundTerms
from common.validate import in_range
from server.secure.masked_sum import MaskedSum

SITES, WORDS = (3, 4, 10), 320_000  # the default recipe's model has 319,000 weights
RUN = "bench"


@dataclass
class Clock:
    """Sums CPU by what it was used for, in ms."""

    spent: dict[str, float] = field(default_factory=dict)
    _since: float = 0.0

    def start(self) -> None:
        """What comes counts."""
        self._since = time.process_time()

    def stop(self, what: str) -> None:
        """What came was for this."""
        self.spent[what] = self.spent.get(what, 0.0) + 1e3 * (time.process_time() - self._since)


def run(repeats: int = 5, sites: Sequence[int] = SITES, words: int = WORDS) -> list[dict[str, Any]]:
    """Time rounds of a secure sum; the cheapest counts, and the first, which verifies signatures, stands by itself.

    Args:
        repeats: rounds, beside the first.
        sites: how many there are, for each row.
        words: of an update.

    Returns:
        For each number of sites ``sites``, ``site_ms`` (all that a site's node does in a round), of it ``mask_ms`` and
        ``open_ms``, ``first_ms`` (a site's first round in a run), ``server_ms``, ``kb`` that a site sends.

    Raises:
        UsageError: ``repeats`` is below 1.
    """
    in_range("repeats", repeats, 1, 1000)
    return [_measure(count, repeats, words) for count in sites]


def _measure(count: int, repeats: int, words: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        nodes = _nodes(Path(folder), count)
        roster = Roster.of(node.introduce(RUN, examples=100, validation=10) for node in nodes)
        rounds = [MaskedRounds(node) for node in nodes]
        (first, size), *others = (_round(nodes, rounds, roster, number, words) for number in range(repeats + 1))
    best = {what: min(spent[what] for spent, _ in others) for what in first}
    own = {what: best[what] / count for what in ("reserve", "mask", "open")}
    figures = {
        "site_ms": sum(own.values()),
        "mask_ms": own["mask"],
        "open_ms": own["open"],
        "first_ms": (first["reserve"] + first["mask"] + first["open"]) / count,
        "server_ms": best["server"],
        "kb": size / 1000,
    }
    return {"sites": count} | {name: round(value, 1) for name, value in figures.items()}


def _round(
    nodes: Sequence[SecureSite], rounds: Sequence[MaskedRounds], roster: Roster, number: int, words: int
) -> tuple[dict[str, float], int]:
    """CPU of a round by what it was for, of all sites together, and the bytes of one site's words and shares."""
    terms, update, clock = _terms(number), np.random.default_rng(number).normal(0, 0.01, words), Clock()
    clock.start()
    for own in rounds:
        own.reserve(terms, roster)
    clock.stop("reserve")
    clock.start()
    sent = [own.mask(terms, roster, update) for own in rounds]
    clock.stop("mask")
    clock.start()
    found = MaskedSum(roster, RUN, number, terms.context(roster.digest))
    for masked in sent:
        found.add(masked)
    openings = found.openings()
    clock.stop("server")
    clock.start()
    told = {node.name: RoundOpener(node).tell(openings[node.name]) for node in nodes}
    clock.stop("open")
    clock.start()
    found.open(told)
    clock.stop("server")
    return clock.spent, len(sent[0].packed())


def _nodes(folder: Path, count: int) -> list[SecureSite]:
    identities = {f"site-{number}": ec.generate_private_key(ec.SECP384R1()) for number in range(count)}
    peers = {name: openssh(key.public_key()) for name, key in identities.items()}
    rules = SumRules(peers=peers, max_norm=1e3, least_sites=LEAST)
    return [SecureSite(folder=folder / name, name=name, identity=key, rules=rules) for name, key in identities.items()]


def _terms(number: int) -> RoundTerms:
    arrays = {protocol.ARRAYS: {"w": np.array([number], np.float32)}}
    asked = {protocol.ROUND: number}
    return RoundTerms.of(run=RUN, number=number, refit=False, bundle="", settings={}, asked=asked, arrays=arrays)
