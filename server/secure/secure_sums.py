"""Sums behind masks, as the coordinator runs them: keys once a run, then for each sum words, perhaps votes, and shares.

What it sees with this, and what it does not, stands in ``common.secure.pair_masks``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from common import protocol
from common.config.settings import Config
from common.errors import FederationError
from common.flower import sum_messages
from common.messages import schema
from common.messages.forms import Told
from common.messages.scope import Scope
from common.secure.fixed_point import Vector, Words
from common.secure.roster import LEAST, Roster
from common.secure.round_words import Beside, RoundLayout
from common.secure.secret_shares import threshold
from common.secure.sum_opening import MaskedUpdate, Opening, Unmasking
from server.messages.exchange import exchange
from server.messages.rejections import Refused, costing, failure, reasons, refuse
from server.secure.masked_sum import MaskedSum
from server.secure.sum_notes import SumNotes
from server.sites.handshake import Node

log = logging.getLogger("fedser.server")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, kw_only=True)
class OpenedSum:
    """A sum that was opened.

    Attributes:
        words: the sum.
        sites: whose words are in it.
        weight: their recordings, in the pass.
        mean: the mean update, weighted by recordings, and what the sites told beside it.
    """

    words: Words
    sites: tuple[str, ...]
    weight: int
    mean: Callable[[RoundLayout], tuple[Vector, Beside]]


@dataclass(frozen=True, kw_only=True)
class SecureSums:
    """A run's sums.

    Attributes:
        grid: Flower's way to the nodes.
        config: of the run.
        nodes: all that take part.
        run: its name.
        settings: of the run, as the sites received them, whatever paths mean here.
        notes: what outlives this process.
    """

    grid: Grid
    config: Config
    nodes: Sequence[Node]
    run: str
    settings: Mapping[str, Any]
    notes: SumNotes

    @cached_property
    def roster(self) -> Roster:
        """The sites by their keys of the run, which are asked for when the first sum is; the same over restarts.

        Raises:
            FederationError: fewer than three sites, or than ``min_sites``, told one.
        """
        if self.notes.roster is not None:
            return Roster.read(self.notes.roster)
        roster = self._agree()
        self.notes.keep_roster(roster.text)
        return roster

    def _agree(self) -> Roster:
        refused: Refused = {}
        asked = RecordDict({protocol.CONFIG: ConfigRecord({protocol.RUN: self.run})})
        messages = [Message(RecordDict(dict(asked)), node.id, protocol.KEYS) for node in self.nodes]
        told = self._hear(messages, "key", sum_messages.read_entry, refused)
        entries = []
        for node in self.nodes:
            if (entry := told.get(node.site)) is None:
                continue
            if (entry.site, entry.examples, entry.validation) == (node.site, node.examples, node.validation):
                entries.append(entry)
            else:
                refuse(node.site, "key", "its name or counts are not what it said when it was met", refused)
        least = max(LEAST, self.config.federation.min_sites)
        if len(entries) < least:
            raise FederationError(
                f"{len(entries)} of {len(self.nodes)} sites told a key to add up with, expected at least {least}"
                f"{reasons(refused)}; their own logs say why"
            )
        return Roster.of(entries)

    @property
    def least(self) -> int:
        """How many sites have to send words, by the protocol and by the noise that they share."""
        privacy = self.config.privacy
        return max(threshold(len(self.roster.sites)), LEAST, privacy.honest + 1 if privacy.shared else 0)

    @property
    def members(self) -> list[Node]:
        """The nodes of the roster, in the order of their names."""
        return [node for node in self.nodes if node.site in self.roster.sites]

    def about(self, number: int) -> ConfigRecord:
        """What a request has beside its own records, so that its reply leaves masked."""
        return sum_messages.asked(self.run, number, self.roster)

    def begin(self, kind: str, number: int, content: RecordDict) -> MaskedSum:
        """A sum, of what a request asks for.

        Args:
            kind: of the message.
            number: of the sum.
            content: of the request to any site, its arrays not packed.
        """
        rounds, bundle = self.config.federation.rounds, self.grid.run.fab_hash
        terms = sum_messages.terms_of(kind, content, bundle=bundle, settings=self.settings, rounds=rounds)
        context, chosen = terms.context(self.roster.digest), self.notes.chosen(number)
        return MaskedSum(self.roster, self.run, number, context, chosen)

    def read(self, node: Node, kind: str, reply: Message, layout: RoundLayout) -> MaskedUpdate:
        """A masked reply.

        Raises:
            Misfit: it is not of its form.
            FederationError: its shares are none.
        """
        values = schema.read_reply(kind, Scope.of(self.config, words=layout.size), reply.content)
        return sum_messages.read_masked(node.site, values)

    def gather(
        self, kind: str, number: int, content: Mapping[str, Any], layout: RoundLayout, refused: Refused
    ) -> OpenedSum:
        """Ask all sites for what is added up, and open the sum.

        Args:
            kind: of the message.
            number: of the sum.
            content: the request's records.
            layout: of the words.
            refused: the sites whose words are not taken are added, with the reason.

        Raises:
            FederationError: the sum can't be opened.
        """
        request = RecordDict({**content, protocol.SECURE: self.about(number)})
        found = self.begin(kind, number, request)
        messages = [Message(RecordDict(dict(request.items())), node.id, kind) for node in self._present()]
        by_id = {node.id: node for node in self.nodes}
        for reply in exchange(self.grid, messages, self.config.federation.round_timeout):
            node = by_id[reply.metadata.src_node_id]
            if reply.has_error():
                refuse(node.site, "words", failure(reply), refused)
                continue
            with costing(node.site, "words", refused):
                found.add(self.read(node, kind, reply, layout))
        return self.open(found, refit=False, refused=refused)

    def try_gather(
        self, kind: str, number: int, content: Mapping[str, Any], layout: RoundLayout, refused: Refused
    ) -> OpenedSum | None:
        """As ``gather``, of scores, which a run can do without: None, and a line, where the sum can't be opened."""
        try:
            return self.gather(kind, number, content, layout, refused)
        except FederationError as error:
            log.warning("%s goes without an answer: %s", kind, error)
            return None

    def open(self, found: MaskedSum, *, refit: bool, refused: Refused) -> OpenedSum:
        """Open a sum.

        Args:
            found: with all words that came.
            refit: whether it is of the second pass.
            refused: the sites whose answers are not taken are added, with the reason.

        Raises:
            FederationError: too few sent words or help to open it, or one that has to answer doesn't.
        """
        try:
            nodes, openings = self._helpers(found), found.openings()
            self.notes.choose(found.number, found.sites)
            if found.needs_votes:
                openings = found.openings(self._votes(nodes, openings, refused))
            words = found.open(self._told(nodes, openings, refused))
        except FederationError as error:
            raise FederationError(f"{error}{reasons(refused)}") from None
        weight = self.roster.weight(found.sites, refit)
        return OpenedSum(
            words=words, sites=found.sites, weight=weight, mean=lambda layout: found.read(words, layout, refit)
        )

    def _helpers(self, found: MaskedSum) -> list[Node]:
        """Who is asked to open a sum: all; where some sent nothing the others, all of which have to answer then.

        So who is silent, as a site that was killed, is waited for once a round, and not three times.
        """
        return [node for node in self._present() if not found.missing or node.site in found.sites]

    def _votes(self, nodes: Sequence[Node], openings: Mapping[str, Opening], refused: Refused) -> dict[str, str]:
        messages = [
            Message(sum_messages.opening_request(openings[node.site]), node.id, protocol.VOTE) for node in nodes
        ]
        return self._hear(messages, "vote", lambda told: str(told[protocol.CONFIG][protocol.SIGNATURE]), refused)

    def _told(self, nodes: Sequence[Node], openings: Mapping[str, Opening], refused: Refused) -> dict[str, Unmasking]:
        messages = [
            Message(sum_messages.unmask_request(openings[node.site]), node.id, protocol.UNMASK) for node in nodes
        ]
        return self._hear(messages, "shares", sum_messages.read_unmasking, refused)

    def _hear(
        self, messages: Sequence[Message], what: str, read: Callable[[Told], _Answer], refused: Refused
    ) -> dict[str, _Answer]:
        """Send messages that the nodes answer by themselves; what ``read`` makes of the replies, by site."""
        by_id, found = {node.id: node.site for node in self.nodes}, dict[str, _Answer]()
        for reply in exchange(self.grid, messages, self.config.federation.round_timeout):
            site = by_id[reply.metadata.src_node_id]
            if reply.has_error():
                refuse(site, what, failure(reply), refused)
                continue
            with costing(site, what, refused):
                kind = reply.metadata.message_type
                found[site] = read(schema.read_reply(kind, Scope.of(self.config), reply.content))
        return found

    def _present(self) -> list[Node]:
        connected = set(self.grid.get_node_ids())
        return [node for node in self.members if node.id in connected]
