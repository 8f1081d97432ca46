"""Sites that add up, and a coordinator by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
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
from common.secure.fixed_point import Vector, Words, words_of
from common.secure.roster import Roster
from common.secure.round_terms import RoundTerms
from common.secure.round_words import RoundLayout
from common.secure.sum_opening import MaskedUpdate, Unmasking
from server.secure.masked_sum import MaskedSum

RUN = "run-a"
ENTRIES = 40
LAYOUT = RoundLayout(entries=ENTRIES)
BUNDLE = "ab" * 32
MODEL = np.linspace(-1, 1, ENTRIES, dtype=np.float32)


@cache
def identity(name: str) -> ec.EllipticCurvePrivateKey:
    """A site's registered key; the same in every run of the tests."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(name.encode()).digest(), "big"), ec.SECP384R1())


def public(name: str) -> str:
    return openssh(identity(name).public_key())


def seeded(seed: object) -> Callable[[int], bytes]:
    """Random bytes that are the same each time."""
    generator = np.random.default_rng(list(repr(seed).encode()))
    return generator.bytes


@dataclass(frozen=True)
class Party:
    """A site's node."""

    site: SecureSite
    rounds: MaskedRounds
    opener: RoundOpener

    def restarted(self) -> Party:
        """The same after its process ended: what is not on the disk is gone."""
        return party(replace(self.site))


Parties = Mapping[str, Party]


def party(site: SecureSite) -> Party:
    return Party(site, MaskedRounds(site), RoundOpener(site))


def parties(folder: Path, count: int, seed: object = None, **rules: Any) -> dict[str, Party]:
    """Nodes that know each other's registered keys; with a seed whatever they draw is the same each time."""
    names = [f"site-{number:02}" for number in range(count)]
    agreed = SumRules(**{"peers": {name: public(name) for name in names}, "max_norm": 1e3, **rules})

    def node(name: str) -> Party:
        source = {} if seed is None else {"source": seeded((seed, name))}
        return party(SecureSite(folder=folder / name, name=name, identity=identity(name), rules=agreed, **source))

    return {name: node(name) for name in names}


def counts(place: int) -> dict[str, int]:
    return {"examples": 60 + 7 * place, "validation": 5 + place}


def roster_of(sites: Parties, run: str = RUN) -> Roster:
    """What an honest coordinator hands on."""
    return Roster.of(node.site.introduce(run, **counts(place)) for place, node in enumerate(sites.values()))


def terms(number: int = 1, *, shift: float | None = None, rate: float = 0.1, **more: Any) -> RoundTerms:
    """What a site received; by default each round has another model."""
    model = MODEL + np.float32(number if shift is None else shift)
    told = {
        "run": RUN,
        "number": number,
        "refit": False,
        "bundle": BUNDLE,
        "settings": {"training.learning_rate": rate},
        "asked": {protocol.ROUND: number},
        "arrays": {protocol.ARRAYS: {"w": model}, protocol.SCALING: {"mean": MODEL}},
    }
    return RoundTerms.of(**{**told, **more})


def updates(sites: Iterable[str], seed: int = 0) -> dict[str, Vector]:
    generator = np.random.default_rng(seed)
    return {name: generator.normal(0, 0.05, ENTRIES) for name in sites}


def plain_words(roster: Roster, whole: Mapping[str, Vector], sites: Collection[str], refit: bool = False) -> Words:
    """The same sum without masks."""
    total = roster.weight(roster.sites, refit)
    found = np.zeros(ENTRIES, np.uint32)
    for site in sites:
        found += words_of(whole[site], roster.weight([site], refit), total)
    return found


def sent(sites: Parties, asked: RoundTerms, roster: Roster, whole: Mapping[str, Vector]) -> dict[str, MaskedUpdate]:
    """The first exchange, with some sites."""
    for node in sites.values():
        node.rounds.reserve(asked, roster)
    return {name: node.rounds.mask(asked, roster, whole[name]) for name, node in sites.items()}


def gathered(asked: RoundTerms, roster: Roster, came: Iterable[MaskedUpdate]) -> MaskedSum:
    """What an honest coordinator makes of it."""
    found = MaskedSum(roster, asked.run, asked.number, asked.context(roster.digest))
    for update in came:
        found.add(MaskedUpdate.unpacked(update.packed()))
    return found


def told(found: MaskedSum, sites: Parties) -> dict[str, Unmasking]:
    """The second exchange, with some sites; between the two they agree where one is missing."""
    votes = None
    if found.needs_votes:
        votes = {name: sites[name].opener.vote(opening) for name, opening in found.openings().items() if name in sites}
    return {name: sites[name].opener.tell(opening) for name, opening in found.openings(votes).items() if name in sites}
