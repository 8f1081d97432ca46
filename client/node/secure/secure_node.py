"""A site's node where sums are behind masks: what it answers by itself, and what it makes of its app's replies.

The app answers as ever, and its reply is checked in plain as ever; then its arrays and figures leave as masked words.
What is told of a site beside them would tell what the masks hide, so all of it rides with the words, or stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, RecordDict

from client.node.gate.answers import Refused
from client.node.secure.masked_rounds import MaskedRounds
from client.node.secure.round_opener import RoundOpener
from client.node.secure.secure_site import SecureSite
from common import protocol
from common.config.settings import Config, flatten
from common.flower import sum_messages
from common.secure.model_update import update_of
from common.secure.roster import Roster
from common.secure.round_terms import RoundTerms
from common.secure.sum_opening import MaskedUpdate
from common.secure.tallies import beside_update, tally_of

NOTHING = {protocol.METRICS: {protocol.EXAMPLES: 0}}  # of a site that has nothing to score


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """A request that the site is bound to, whose reply leaves masked."""

    kind: str
    terms: RoundTerms
    roster: Roster


class SecureNode:
    """A site's node, as far as sums go.

    Args:
        site: whose it is.
    """

    def __init__(self, site: SecureSite) -> None:
        self.site = site
        self.rounds, self._opener = MaskedRounds(site), RoundOpener(site)

    def introduce(self, asked: RecordDict, examples: int, validation: int) -> RecordDict:
        """The answer to ``query.keys``.

        Args:
            asked: the request.
            examples: that the site's hello told of this run.
            validation: likewise.

        Raises:
            FedserError: as ``SecureSite.introduce``.
        """
        run = str(asked.config_records[protocol.CONFIG][protocol.RUN])
        return sum_messages.entry_reply(self.site.introduce(run, examples=examples, validation=validation))

    def vote(self, asked: RecordDict) -> RecordDict:
        """The answer to ``query.vote``; raises as ``RoundOpener.vote``."""
        return sum_messages.vote_reply(self._opener.vote(sum_messages.read_opening(asked)))

    def unmask(self, asked: RecordDict) -> RecordDict:
        """The answer to ``query.unmask``; raises as ``RoundOpener.tell``."""
        return sum_messages.unmask_reply(self._opener.tell(sum_messages.read_opening(asked)))

    def reserve(self, kind: str, asked: RecordDict, config: Config, bundle: str) -> Reserved:
        """Bind the site to what a request asks for, before the app sees it.

        Args:
            kind: of the message.
            asked: it, its arrays not packed.
            config: of the run.
            bundle: SHA-256 of the app's code.

        Raises:
            Refused: the site does not add up on these terms.
            FedserError: as ``MaskedRounds.reserve``.
        """
        settings, rounds = flatten(config), config.federation.rounds
        terms = sum_messages.terms_of(kind, asked, bundle=bundle, settings=settings, rounds=rounds)
        if (kind == protocol.TRAIN) != (0 < terms.number <= config.most_rounds):
            raise Refused(f"sum {terms.number} is asked for by {kind}, expected a round's number for train, or another")
        roster = sum_messages.roster_of(asked)
        # Of shared noise so many parts have to be in a sum as are honest, and those that whoever looks knows.
        least = config.privacy.honest + self.site.rules.colluding if config.privacy.shared else None
        self.rounds.reserve(terms, roster, least)
        return Reserved(kind=kind, terms=terms, roster=roster)

    def masked(self, reserved: Reserved, asked: RecordDict, reply: RecordDict, config: Config) -> RecordDict:
        """What leaves in place of an app's reply.

        Args:
            reserved: what the request came to.
            asked: the request, its arrays not packed.
            reply: of the app, checked, its arrays not packed.
            config: of the run.

        Raises:
            Refused: the reply is of another count than the site signed, or its update is too large.
            FedserError: as ``MaskedRounds.mask``.
        """
        update = self._update(reserved, asked, reply, config)
        rest = {name: record for name, record in reply.items() if name in (protocol.CONFIG, protocol.HELD)}
        return RecordDict({**rest, **sum_messages.masked_records(update)})

    def _update(self, reserved: Reserved, asked: RecordDict, reply: RecordDict, config: Config) -> MaskedUpdate:
        terms, roster = reserved.terms, reserved.roster
        if reserved.kind != protocol.TRAIN:
            weight = roster.weight([self.site.name], refit=False)
            sent = asked.array_records[protocol.ARRAYS] if protocol.ARRAYS in asked else ArrayRecord()
            bias = config.model.architecture.output_bias
            told: Any = reply.metric_records[protocol.METRICS]
            classes = sent[bias].shape[0] if bias in sent else len(told.get(protocol.COUNTS, ()))
            alone = reserved.kind in (protocol.EVALUATE, protocol.EVALUATE_CONFIDENCE) and not self._hides(roster)
            counts = tally_of(reserved.kind, NOTHING if alone else reply, classes=classes, weight=weight)
            return self.rounds.mask_counts(terms, roster, counts)
        figures = reply.metric_records[protocol.METRICS]
        if (found := figures[protocol.EXAMPLES]) != (said := roster.weight([self.site.name], terms.refit)):
            raise Refused(f"the app trained on {found}, this site said {said} in this run")
        new = _arrays(reply)
        if config.privacy.shared:
            return self.rounds.mask_integers(terms, roster, np.concatenate([new[name].ravel() for name in sorted(new)]))
        classes = new[config.model.architecture.output_bias].size
        if config.privacy.on:
            return self.rounds.mask(terms, roster, update_of(new, _arrays(asked)))
        told = figures if self._hides(roster) else {protocol.LOSS: figures[protocol.LOSS]}
        beside = beside_update(told, classes, refit=terms.refit)
        return self.rounds.mask(terms, roster, update_of(new, _arrays(asked)), beside)

    def _hides(self, roster: Roster) -> bool:
        """Whether so many sites have validation speakers that the sum of their scores is of nobody's alone."""
        return len([entry for entry in roster.entries if entry.validation]) >= self.site.rules.least_sites


def _arrays(content: RecordDict) -> Mapping[str, np.ndarray[Any, Any]]:
    return {name: array.numpy() for name, array in content.array_records[protocol.ARRAYS].items()}
