"""What a site asks of a secure sum before it takes part: who adds up, how much one may weigh, how large its update is.

All numbers are its own policy's. What the coordinator says is held against them, never taken for one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from client.node.gate.answers import Refused
from client.node.policy.document import Policy
from common.secure import pinned_keys
from common.secure.fixed_point import MOST, Vector
from common.secure.pinned_keys import Keys
from common.secure.roster import LEAST, Roster, RosterEntry
from common.secure.secret_shares import threshold
from common.validate import in_range, positive


@dataclass(frozen=True, kw_only=True)
class SumRules:
    """A site's rules.

    Attributes:
        peers: registered keys that it compared, by site; its own may be among them.
        max_norm: the largest Euclidean norm that its own update may have.
        max_update: the largest entry, in absolute value; above ``MOST`` it would not fit a word.
        least_sites: that a sum is of.
        largest_share: of a sum's recordings that one site may have.
        colluding: of shared noise, how many sites' parts somebody may know, so that they hide nothing from them.
    """

    peers: Keys
    max_norm: float
    max_update: float = MOST
    least_sites: int = LEAST
    largest_share: float = 0.5
    colluding: int = 1

    def __post_init__(self) -> None:
        positive("aggregation.max_norm", self.max_norm)
        in_range("aggregation.max_update", self.max_update, 2.0**-20, MOST)
        in_range("aggregation.least_sites", self.least_sites, LEAST, 10**4)
        in_range("aggregation.largest_share", self.largest_share, 1 / LEAST, 1.0)
        in_range("privacy.colluding", self.colluding, 1, 10**4)

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """The rules of a policy, with its peers' keys as their file has them now.

        Raises:
            UsageError: the file is missing, or is none of the kind.
        """
        own = policy.aggregation
        return cls(
            peers=own.keys(),
            max_norm=own.max_norm,
            max_update=own.max_update,
            least_sites=own.least_sites,
            largest_share=own.largest_share,
            colluding=policy.privacy.colluding,
        )

    def check_roster(self, roster: Roster, own: RosterEntry, run: str, refit: bool) -> None:
        """Check a roster.

        Args:
            roster: as it came in.
            own: what the site said of itself in this run.
            run: its name.
            refit: whether the round is of the second pass.

        Raises:
            Refused: it is not one to add up with.
        """
        if fault := roster.fault(run) or pinned_keys.fault({own.site: own.identity, **self.peers}, roster):
            raise Refused(fault)
        for fault in self._faults(roster, own, refit):
            raise Refused(fault)

    def _faults(self, roster: Roster, own: RosterEntry, refit: bool) -> Iterator[str]:
        listed = roster.entry(own.site)
        if listed is None:
            yield f"the roster does not name this site, {own.site}"
        elif (listed.key, listed.examples, listed.validation) != (own.key, own.examples, own.validation):
            yield (
                f"the roster says {listed.examples} and {listed.validation} recordings of this site, it said "
                f"{own.examples} and {own.validation}; or has another key of it"
            )
        yield from self._too_few(roster, roster.sites, refit)

    def check_least(self, roster: Roster, least: int) -> None:
        """Check that a roster's sum can be opened at all.

        Args:
            roster: which was checked.
            least: sites that it is opened of.

        Raises:
            Refused: there are fewer.
        """
        if len(roster.sites) < least:
            raise Refused(f"the roster has {len(roster.sites)} sites, a sum of this run is opened of {least} or more")

    def check_sites(self, roster: Roster, sites: tuple[str, ...], refit: bool, least: int) -> None:
        """Check whose words are to be in an opened sum.

        Args:
            roster: which was checked.
            sites: of it.
            refit: whether the round is of the second pass.
            least: how many, by what the round was reserved for.

        Raises:
            Refused: they are not of the roster, or too few.
        """
        if len(set(sites)) != len(sites) or not set(sites) <= set(roster.sites):
            raise Refused(f"a sum of {', '.join(sites)} is asked for, expected sites of the roster, each once")
        for fault in self._too_few(roster, sites, refit):
            raise Refused(fault)
        if len(sites) < (least := max(least, threshold(len(roster.entries)))):
            raise Refused(
                f"a sum of {len(sites)} of {len(roster.entries)} sites is asked for, expected {least} or more"
            )

    def _too_few(self, roster: Roster, sites: tuple[str, ...], refit: bool) -> Iterator[str]:
        if len(sites) < self.least_sites:
            yield f"a sum is of {len(sites)} sites, the policy asks for {self.least_sites} (aggregation.least_sites)"
            return
        whole = roster.weight(sites, refit)
        for site in sites:
            if (share := roster.weight([site], refit) / whole) > self.largest_share:
                yield (
                    f"{site} has {share:.3f} of a sum's recordings, the policy allows {self.largest_share:g} "
                    "(aggregation.largest_share)"
                )

    def check_update(self, update: Vector) -> None:
        """Check the site's own update, in plain.

        Args:
            update: ``(entries,)``.

        Raises:
            Refused: it is not finite, or too large.
        """
        if not update.size or not np.isfinite(update).all():
            raise Refused("the update is empty, or not all of its numbers are finite")
        largest, norm = float(np.abs(update).max()), float(np.sqrt(np.square(update).sum()))
        if largest > self.max_update:
            raise Refused(
                f"the update's largest entry is {largest:g}, the policy allows {self.max_update:g} "
                "(aggregation.max_update)"
            )
        if norm > self.max_norm:
            raise Refused(f"the update's norm is {norm:g}, the policy allows {self.max_norm:g} (aggregation.max_norm)")
