"""A site's rounds in secure sums: what the node does between the plain update and what leaves.

As in a private round: reserve, compute, store, send. ``reserve`` binds the site to a round before the app is started;
``mask`` stores what leaves before it leaves, and returns what was stored whenever it is asked again, whatever the app
trained meanwhile. The app and the trainer's container know nothing of it: they make plain updates, and hold no key.

The guarantee is that of ``common.secure.pair_masks``, and its limits: a site is hidden from an honest coordinator and
from whoever has its disk; one that lies over two rounds is bounded by noise alone.
"""

from __future__ import annotations

from client.node.gate.answers import Refused
from client.node.secure import sum_journal
from client.node.secure.secure_site import SecureSite
from client.node.secure.sum_journal import Bound, binding
from common.secure.fixed_point import Vector
from common.secure.pair_masks import mask, pair_seed, self_seed
from common.secure.roster import Roster
from common.secure.round_terms import RoundTerms
from common.secure.round_words import Beside, RoundLayout
from common.secure.secret_shares import SECRET, commitment, seal, split
from common.secure.sum_opening import MaskedUpdate
from common.storage.hash_chain import Entry
from common.storage.safe_name import safe_name

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

    def reserve(self, terms: RoundTerms, roster: Roster) -> None:
        """Bind the site to a round; on the disk before the app is asked for anything.

        Args:
            terms: of what the node received.
            roster: likewise.

        Raises:
            Refused: the site does not add up on these terms.
            LedgerError: the journal was changed.
            FederationError: a site's key of the run is none.
            FedserError: the journal cannot be written.
        """
        site, asked = self._site, binding(terms, roster)
        if self._checked != (this := (terms.run, roster.digest, terms.refit)):
            site.rules.check_roster(roster, site.entry(terms.run), terms.run, terms.refit)
            site.secrets(terms.run, roster)  # fails for a key that is none, before anybody trains
            self._checked = this
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
        site, asked = self._site, binding(terms, roster)
        key = safe_name(asked.run), asked.round
        with site.journal.lock() as writer:
            if sum_journal.bound(writer.entries).get(asked.key) != asked:
                raise Refused(f"round {asked.round} of run {asked.run} was not reserved on these terms")
            sum_journal.check_on(writer.entries, asked.run)
            if digest := sum_journal.stored(writer.entries, asked.key):
                return MaskedUpdate.unpacked(site.replies.load(key, digest))
            site.rules.check_update(update)
            masked = self._masked(asked, roster, update, beside)
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

    def _masked(self, asked: Bound, roster: Roster, update: Vector, beside: Beside) -> MaskedUpdate:
        name, context = self._site.name, bytes.fromhex(asked.context)
        secrets, drawn = self._site.secrets(asked.run, roster), self._site.source(SECRET)
        weight, whole = (roster.weight(sites, asked.refit) for sites in ([name], roster.sites))
        pairs = {peer: pair_seed(secret, context, name, peer) for peer, secret in secrets.items() if peer != name}
        sizes = {what: len(own) for what, own in beside.counts.items()}
        layout = RoundLayout(entries=len(update), means=tuple(beside.means), counts=sizes)
        shares = zip(roster.sites, split(drawn, len(roster.sites)), strict=True)
        return MaskedUpdate(
            site=name,
            context=asked.context,
            words=mask(layout.words(update, beside, weight, whole), name, self_seed(drawn), pairs),
            shares={to: seal(share, secrets[to], context, name, to, self._site.source) for to, share in shares},
            commitment=commitment(drawn),
        )

    def _tidy(self, lines: list[Entry]) -> None:
        keep = sum_journal.last_rounds(lines, KEPT_ROUNDS, KEPT_RUNS)
        self._site.replies.tidy({(safe_name(run), number) for run, number in keep})
