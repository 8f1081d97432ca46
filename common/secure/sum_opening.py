"""What sites and coordinator tell each other in a round of a secure sum.

First exchange, with ``train``: masked words, and the shares of the site's own mask, sealed for each peer. Second
exchange, to open: whose words are in the sum; of each of these a site tells its share of the mask, and where it is one
of them, of each that dropped out the seed of their pair. Of no site it ever tells both.

Where all of a roster are in the sum these two are all. Where a site dropped out before it sent anything, there is one
exchange between them: a site signs whose words are in, once a round, and tells nothing before it has seen as many
signatures of the same list as it takes to open a sum (the consistency check of Bonawitz et al. 2017). Without it a
coordinator that names another list to each of four sites opens two sums of two, with no site's help: each would open
three of four, and what they tell fits together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from common.errors import FederationError
from common.secure.fixed_point import Words
from common.secure.roster import Roster, is_signature
from common.secure.round_terms import joined


@dataclass(frozen=True, kw_only=True)
class MaskedUpdate:
    """What a site sends in place of an update. To whoever has no seed the words are random ones.

    Attributes:
        site: its name.
        context: of the round's terms, as the site received them; 64 hexadecimal digits.
        words: ``(entries,)``.
        shares: of what it drew for its own mask, sealed, by the site that it is for; its own is among them.
        commitment: to what it drew.
    """

    site: str
    context: str
    words: Words
    shares: Mapping[str, bytes]
    commitment: str

    def packed(self) -> bytes:
        """The update as it is stored and sent: a line of JSON, and the words behind it, low bytes first."""
        shares = {site: sealed.hex() for site, sealed in self.shares.items()}
        told = {"site": self.site, "context": self.context, "shares": shares, "commitment": self.commitment}
        return json.dumps(told, sort_keys=True).encode() + b"\n" + self.words.astype("<u4").tobytes()

    @classmethod
    def unpacked(cls, content: bytes) -> Self:
        """What ``packed`` packed.

        Raises:
            FederationError: it is no such thing.
        """
        line, _, data = content.partition(b"\n")
        try:
            told: Any = json.loads(line)
            shares = {str(site): bytes.fromhex(sealed) for site, sealed in told["shares"].items()}
            texts = {name: str(told[name]) for name in ("site", "context", "commitment")}
            words = np.frombuffer(data, "<u4").astype(np.uint32, copy=False)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FederationError("a masked update cannot be read; expected shares, a commitment and words") from None
        return cls(words=words, shares=shares, **texts)


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What the coordinator asks a site, to open a round's sum.

    Attributes:
        run: its name.
        number: of the round.
        roster: as text.
        sites: whose words are in the sum.
        shares: of each of these the share that is for the asked site, sealed.
        votes: for just these sites, by who signed; none where the whole roster is in.
    """

    run: str
    number: int
    roster: str
    sites: tuple[str, ...]
    shares: Mapping[str, bytes] = field(default_factory=dict)
    votes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Unmasking:
    """What a site tells, to open a round's sum.

    Attributes:
        shares: of the mask of each site that is in the sum.
        seeds: of its pairs with the sites that are not; none where it is not in the sum itself.
    """

    shares: Mapping[str, bytes]
    seeds: Mapping[str, bytes]


def signers(votes: Mapping[str, str], roster: Roster, context: bytes, sites: tuple[str, ...]) -> dict[str, str]:
    """The votes that hold: of the roster's sites, each under its own registered key, for just these sites.

    Args:
        votes: by site.
        roster: of the round.
        context: of the round's terms.
        sites: whose words are in the sum.
    """
    told = vote_on(context, sites)
    return {
        entry.site: votes[entry.site]
        for entry in roster.entries
        if entry.site in votes and is_signature(votes[entry.site], entry.identity, told)
    }


def vote_on(context: bytes, sites: tuple[str, ...]) -> bytes:
    """What a site signs: that in a round on these terms the sum is of these sites."""
    return joined(b"fedser opening 1", context, *(site.encode() for site in sorted(sites)))
