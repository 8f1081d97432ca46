"""A site's part in opening a round's sum: it chooses one list of sites a round, and helps to open that alone.

Where a site is missing in the sum it first signs its choice, and tells nothing before a threshold of the roster has
signed the same (``common.secure.sum_opening`` says why). Of a site it tells its share of the mask where that site is in
the sum, and the seed that the two have in common where it is not; of none both, for it chooses once. Its own part is
told like all others': as shares, by its peers.
"""

from __future__ import annotations

from client.node.gate.answers import Refused
from client.node.secure import sum_journal
from client.node.secure.secure_site import SecureSite
from client.node.secure.sum_journal import Bound
from common.secure.pair_masks import pair_seed
from common.secure.roster import Roster, sign
from common.secure.secret_shares import threshold, unseal
from common.secure.sum_opening import Opening, Unmasking, signers, vote_on


class RoundOpener:
    """Opens sums with one site's help.

    Args:
        site: whose.
    """

    def __init__(self, site: SecureSite) -> None:
        self._site = site

    def vote(self, opening: Opening) -> str:
        """Sign whose words are in a round's sum; once a round, and on the disk before it is told.

        Args:
            opening: what the coordinator asks; its votes are not looked at.

        Raises:
            Refused: the site does not help to open this sum.
            LedgerError: the journal was changed.
            FedserError: it cannot be written.
        """
        asked = self._choose(opening, Roster.read(opening.roster), agreed=False)
        return sign(self._site.identity, vote_on(bytes.fromhex(asked.context), opening.sites))

    def tell(self, opening: Opening) -> Unmasking:
        """Tell the site's part of what opens a round's sum; the same whenever it is asked for it.

        Args:
            opening: what the coordinator asks, with the votes where a site is missing in it.

        Raises:
            Refused: the site does not help to open this sum.
            LedgerError: the journal was changed.
            FedserError: a share is not what its site sealed, or the journal cannot be written.
        """
        roster, name = Roster.read(opening.roster), self._site.name
        asked = self._choose(opening, roster, agreed=True)
        context, secrets = bytes.fromhex(asked.context), self._site.secrets(asked.run, roster)
        missing = [site for site in roster.sites if site not in opening.sites and name in opening.sites]
        return Unmasking(
            shares={site: unseal(opening.shares[site], secrets[site], context, site, name) for site in opening.sites},
            seeds={site: pair_seed(secrets[site], context, name, site) for site in missing},
        )

    def _choose(self, opening: Opening, roster: Roster, *, agreed: bool) -> Bound:
        """Choose whose sum is opened, on the disk, after all is checked that can be."""
        with self._site.journal.lock() as writer:
            asked = sum_journal.bound(writer.entries).get((opening.run, opening.number))
            if asked is None or asked.roster != roster.digest:
                raise Refused(f"round {opening.number} of run {opening.run} was not reserved with this roster")
            sum_journal.check_on(writer.entries, asked.run)
            sites = tuple(sorted(opening.sites))
            self._site.rules.check_sites(roster, sites, asked.refit, asked.least)
            if self._site.name in sites and sum_journal.stored(writer.entries, asked.key) is None:
                raise Refused(
                    f"this site has sent nothing in round {asked.round} of run {asked.run}, and is named in it"
                )
            known = sum_journal.check_choice(writer.entries, asked, sites)
            if agreed:
                _check_agreed(opening, roster, bytes.fromhex(asked.context))
            if not known:
                about = {"run": asked.run, "round": asked.round, "model": asked.model}
                writer.append(sum_journal.CHOSEN, **about, sites=list(sites))
        return asked


def _check_agreed(opening: Opening, roster: Roster, context: bytes) -> None:
    """Check what the site needs before it tells anything.

    Raises:
        Refused: a share is missing, or too few signed for a sum in which a site is missing.
    """
    if set(opening.shares) != set(opening.sites):
        raise Refused(
            f"there are {len(opening.shares)} shares to open a sum of {len(opening.sites)}, expected one each"
        )
    missing = [site for site in roster.sites if site not in opening.sites]
    signed, least = signers(opening.votes, roster, context, opening.sites), threshold(len(roster.entries))
    if missing and len(signed) < least:
        raise Refused(
            f"{len(signed)} sites signed for a sum without {', '.join(missing)}, expected {least} before it is opened"
        )
