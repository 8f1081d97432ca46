"""A site's rounds in secure sums: what the node does between the plain update and what leaves.

As in a private round: reserve, compute, store, send. ``reserve`` binds the site to a round before the app is started;
``mask`` stores what leaves before it leaves, and returns what was stored whenever it is asked again, whatever the app
trained meanwhile. The app and the trainer's container know nothing of it: they make plain updates, and hold no key.

The guarantee is that of ``common.secure.pair_masks``, and its limits: a site is hidden from an honest coordinator and
from whoever has its disk; one that lies over two rounds is bounded by noise alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from client.node.gate.answers import Refused
from client.node.secure import sum_journal
from client.node.secure.secure_site import SecureSite
from client.node.secure.sum_journal import Bound, binding
from common.secure.fixed_point import Vector, Words
from common.secure.pair_masks import mask, pair_seed, self_seed
from common.secure.roster import Roster
from common.secure.round_terms import RoundTerms
from common.secure.round_words import Beside, RoundLayout
from common.secure.secret_shares import SECRET, commitment, seal, split
from common.secure.sum_opening import MaskedUpdate
from common.storage.hash_chain import Entry
from common.storage.safe_name import safe_name

Integers = npt.NDArray[np.int32] | npt.NDArray[np.int64]

NOTHING = Beside()
KEPT_ROUNDS, KEPT_RUNS = 2, 2  # whose masked updates lie on the disk


class MaskedRounds:
    """The rounds of one site.

    Args:
        site: whose they are.
    """

    def __init__(self, site: SecureSite) -> None:
        self._site = site
        self._checked: tuple[str, str, bool] | None = None  # run, the roster's digest, pass: signatures take time

    def reserve(self, terms: RoundTerms, roster: Roster, least: int | None = None) -> None:
        """Bind the site to a round; on the disk before the app is asked for anything.

        Args:
            terms: of what the node received.
            roster: likewise.
            least: sites that the sum may be opened of; those of the site's rules by default, and never fewer.

        Raises:
            Refused: the site does not add up on these terms.
            LedgerError: the journal was changed.
            FederationError: a site's key of the run is none.
            FedserError: the journal cannot be written.
        """
        site, asked = self._site, self._binding(terms, roster, least)
        if self._checked != (this := (terms.run, roster.digest, terms.refit)):
            site.rules.check_roster(roster, site.entry(terms.run), terms.run, terms.refit)
            site.secrets(terms.run, roster)  # fails for a key that is none, before anybody trains
            self._checked = this
        site.rules.check_least(roster, asked.least)
        with site.journal.lock() as writer:
            if not sum_journal.check_binding(writer.entries, asked):
                writer.append(sum_journal.BOUND, **sum_journal.fields(asked))
            self._tidy(writer.entries)

    def mask(self, terms: RoundTerms, roster: Roster, update: Vector, beside: Beside = NOTHING) -> MaskedUpdate:
        """What leaves in place of an update, stored before it does.

        Args:
            terms: as they were reserved.
            roster: likewise.
            update: ``(entries,)``, new weights less those that came in. Not looked at where the round is stored.
            beside: what else the site tells in the round, which would tell of it in plain; likewise.

        Raises:
            Refused: the round was not reserved so, or the update is not finite or too large.
            LedgerError: the journal or what was stored was changed, or is not kept any more.
            FederationError: what is beside the update can't be told in words.
            FedserError: nothing can be written.
        """

        def words(weight: int, whole: int) -> Words:
            self._site.rules.check_update(update)
            return words_of(update, beside, weight, whole)

        return self._stored(terms, roster, words)

    def mask_counts(self, terms: RoundTerms, roster: Roster, counts: Beside) -> MaskedUpdate:
        """What leaves in place of counts alone; raises as ``mask``."""
        nothing = np.zeros(0)
        return self._stored(terms, roster, lambda weight, whole: words_of(nothing, counts, weight, whole))

    def mask_integers(self, terms: RoundTerms, roster: Roster, integers: Integers) -> MaskedUpdate:
        """What leaves in place of whole numbers that have the run's noise already; they are added up as they are.

        Args:
            terms: as they were reserved.
            roster: likewise.
            integers: ``(entries,)``, each with a sign and 31 bits.

        Raises:
            Refused: as ``mask``.
        """
        return self._stored(terms, roster, lambda *_: integers.astype(np.int32).view(np.uint32))

    def _stored(self, terms: RoundTerms, roster: Roster, words: Callable[[int, int], Words]) -> MaskedUpdate:
        """The masked words of a round, by the site's weight and all sites'; those that are stored, where some are."""
        site, key = self._site, (safe_name(terms.run), terms.number)
        with site.journal.lock() as writer:
            asked = sum_journal.bound(writer.entries).get((terms.run, terms.number))
            if asked is None or replace(self._binding(terms, roster, None), least=asked.least) != asked:
                raise Refused(f"round {terms.number} of run {terms.run} was not reserved on these terms")
            sum_journal.check_on(writer.entries, asked.run)
            if digest := sum_journal.stored(writer.entries, asked.key):
                return MaskedUpdate.unpacked(site.replies.load(key, digest))
            weight, whole = (roster.weight(sites, asked.refit) for sites in ([site.name], roster.sites))
            masked = self._masked(asked, roster, words(weight, whole))
            digest = site.replies.save(key, masked.packed())
            writer.append(sum_journal.MASKED, run=asked.run, round=asked.round, sha256=digest)
        return masked

    def end(self, run: str) -> None:
        """Delete the run's key and what is stored of it: it is over.

        Args:
            run: its name.

        Raises:
            LedgerError: the journal was changed.
            FedserError: it cannot be written.
        """
        with self._site.journal.lock() as writer:
            if not sum_journal.is_over(writer.entries, run):
                writer.append(sum_journal.ENDED, run=run)
            self._site.keys.forget(run)
            self._tidy(writer.entries)

    def _binding(self, terms: RoundTerms, roster: Roster, least: int | None) -> Bound:
        own = self._site.rules.least_sites
        return binding(terms, roster, max(own, least or own))

    def _masked(self, asked: Bound, roster: Roster, words: Words) -> MaskedUpdate:
        name, context = self._site.name, bytes.fromhex(asked.context)
        secrets, drawn = self._site.secrets(asked.run, roster), self._site.source(SECRET)
        pairs = {peer: pair_seed(secret, context, name, peer) for peer, secret in secrets.items() if peer != name}
        shares = zip(roster.sites, split(drawn, len(roster.sites)), strict=True)
        return MaskedUpdate(
            site=name,
            context=asked.context,
            words=mask(words, name, self_seed(drawn), pairs),
            shares={to: seal(share, secrets[to], context, name, to, self._site.source) for to, share in shares},
            commitment=commitment(drawn),
        )

    def _tidy(self, lines: list[Entry]) -> None:
        keep = sum_journal.last_rounds(lines, KEPT_ROUNDS, KEPT_RUNS)
        self._site.replies.tidy({(safe_name(run), number) for run, number in keep})


def words_of(update: Vector, beside: Beside, weight: int, whole: int) -> Words:
    """A site's words, not masked yet, laid out as what is told says itself; see ``RoundLayout.words``."""
    sizes = {what: len(own) for what, own in beside.counts.items()}
    layout = RoundLayout(entries=len(update), means=tuple(beside.means), counts=sizes)
    return layout.words(update, beside, weight, whole)
