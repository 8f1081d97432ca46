"""A round's masked updates, added up, and opened with what the sites tell: the coordinator's side.

Words add exactly modulo 2^32, so the sum is the same bit for bit whoever answered first, and the same as of the words
without masks. Which sites may be missing: before they sent anything, as many as leave a threshold of the roster; after
that, as many as leave a threshold to answer. Where one was missing before, all that are in the sum have to answer: each
alone knows its seeds with the missing. The coordinator waits for them; what they tell is the same whenever they are
asked.

What a coordinator sees with this is what ``common.secure.pair_masks`` says.
"""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import FederationError
from common.secure.fixed_point import Vector, Words
from common.secure.pair_masks import add_pair_masks, mask_of, self_seed
from common.secure.roster import Roster
from common.secure.round_words import Beside, RoundLayout
from common.secure.secret_shares import combine, commitment, threshold
from common.secure.sum_opening import MaskedUpdate, Opening, Unmasking, signers


class MaskedSum:
    """The sum of one round.

    Args:
        roster: of the round.
        run: its name.
        number: of the round.
        context: of the round's terms as they were sent; a site that masked on others is not added.
        among: whose words it is of, where sites were asked to open it before; None where it is open who comes.
    """

    def __init__(
        self, roster: Roster, run: str, number: int, context: bytes, among: tuple[str, ...] | None = None
    ) -> None:
        self._roster, self._run, self._number, self._context = roster, run, number, context
        self._among = among
        self._sent: dict[str, MaskedUpdate] = {}

    @property
    def number(self) -> int:
        """Of the sum in its run."""
        return self._number

    @property
    def sites(self) -> tuple[str, ...]:
        """Whose words came in, in the order of their names."""
        return tuple(sorted(self._sent))

    @property
    def missing(self) -> tuple[str, ...]:
        """Whose did not."""
        return tuple(site for site in self._roster.sites if site not in self._sent)

    @property
    def needs_votes(self) -> bool:
        """Whether the sites have to agree first on whose words are in."""
        return bool(self.missing)

    def add(self, update: MaskedUpdate) -> None:
        """Take a site's words in.

        Raises:
            FederationError: they can't be part of this sum; the site counts as one that sent nothing.
        """
        site, lengths = update.site, {len(known.words) for known in self._sent.values()}
        if site not in self._roster.sites or site in self._sent:
            raise FederationError(f"{site} is not in the round's roster, or sent twice; its words are left out")
        if self._among is not None and site not in self._among:
            raise FederationError(f"the sum was begun to be opened without {site}, and stays so")
        if update.context != self._context.hex():
            raise FederationError(
                f"{site} masked on other terms than it was sent, its masks fit nobody's; it is left out"
            )
        if set(update.shares) != set(self._roster.sites) or not lengths <= {len(update.words)}:
            raise FederationError(f"{site} sent {len(update.words)} words, {len(update.shares)} shares; it is left out")
        self._sent[site] = update

    def openings(self, votes: Mapping[str, str] | None = None) -> dict[str, Opening]:
        """What to ask each site of the roster; those that sent nothing can help, too.

        Args:
            votes: what sites signed, by site, where ``needs_votes``; none to ask for them.

        Raises:
            FederationError: too few sites sent words, or signed the same.
        """
        whole = len(self._roster.entries)
        if len(self._sent) < (least := threshold(whole)):
            raise FederationError(
                f"{len(self._sent)} of {whole} sites sent masked words, {least} are needed to open their sum; missing: "
                f"{', '.join(self.missing)}. Go on with --resume when they are back"
            )
        if self._among is not None and self.sites != self._among:
            lost = ", ".join(site for site in self._among if site not in self._sent)
            raise FederationError(
                f"the sum was begun to be opened with the words of {lost}, which are not here; go on with --resume "
                "when they are back"
            )
        signed = signers(votes or {}, self._roster, self._context, self.sites)
        if votes is not None and len(signed) < least:
            raise FederationError(f"{len(signed)} sites signed for the same sum, {least} are needed to open it")
        return {
            site: Opening(
                run=self._run,
                number=self._number,
                roster=self._roster.text,
                sites=self.sites,
                shares={name: update.shares[site] for name, update in self._sent.items()},
                votes=signed,
            )
            for site in self._roster.sites
        }

    def open(self, told: Mapping[str, Unmasking]) -> Words:
        """The sum of the words of all that sent some.

        Args:
            told: what sites told, by site.

        Raises:
            FederationError: too few did, or what they told fits no site's mask.
        """
        if waiting := [site for site in self.sites if self.missing and site not in told]:
            raise FederationError(
                f"{', '.join(self.missing)} sent nothing, and {', '.join(waiting)} alone can take off the masks that "
                "they have in common: the sum opens when they answer. Go on with --resume when they are back"
            )
        found = sum((update.words for update in self._sent.values()), start=_zeros(self._sent))
        for site in self.sites:
            found -= mask_of(self_seed(self._drawn(site, told)), len(found))
            for gone in self.missing:  # what the missing site would have added for this one
                add_pair_masks(found, gone, [(site, _seed(told[site], site, gone))])
        return found

    def read(self, words: Words, layout: RoundLayout, refit: bool) -> tuple[Vector, Beside]:
        """The mean of the updates in the sum, weighted by the sites' counts, and what these told together beside it.

        Args:
            words: as ``open`` returns them.
            layout: of the round's words.
            refit: whether the round is of the second pass.

        Raises:
            FederationError: the words are not of this layout.
        """
        whole = self._roster.weight(self._roster.sites, refit)
        return layout.read(words, self._roster.weight(self.sites, refit), whole)

    def _drawn(self, site: str, told: Mapping[str, Unmasking]) -> bytes:
        """What a site drew for its own mask."""
        places = {name: place for place, name in enumerate(self._roster.sites)}
        shares = {places[name]: each.shares[site] for name, each in told.items() if site in each.shares}
        if len(shares) < (least := threshold(len(places))):
            raise FederationError(
                f"{len(shares)} of {len(places)} sites told their share of {site}'s mask, {least} are needed; "
                "the sum stays closed. Go on with --resume when more are back"
            )
        drawn = combine(shares, len(places))
        if commitment(drawn) != self._sent[site].commitment:
            raise FederationError(
                f"the shares of {site}'s mask give another than {site} drew: a site told a wrong one, or {site} handed "
                "out wrong ones; the sum stays closed"
            )
        return drawn


def _zeros(sent: Mapping[str, MaskedUpdate]) -> Words:
    first = next(iter(sent.values()))
    return first.words - first.words


def _seed(told: Unmasking, site: str, gone: str) -> bytes:
    if gone not in told.seeds:
        raise FederationError(f"{site} did not tell its seed with {gone}, which sent nothing; the sum stays closed")
    return told.seeds[gone]
