"""A site in secure sums: who it is, by which rules it adds up, and where it keeps what it did."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from client.node.secure import sum_journal
from client.node.secure.run_keys import RunKeys
from client.node.secure.sum_rules import SumRules
from common.deployment.site_kit import openssh
from common.privacy.ledger.replies import Replies
from common.secure.pair_masks import Source
from common.secure.roster import Roster, RosterEntry
from common.storage.chained_file import Chain


@dataclass(frozen=True, kw_only=True)
class SecureSite:
    """A site's node, as far as secure sums go. One object serves one thread.

    Attributes:
        folder: of what it keeps, on its own disk.
        name: of the site.
        identity: its registered key, ECDSA P-384.
        rules: of its policy.
        source: of randomness; the operating system's anywhere but in tests.
    """

    folder: Path
    name: str
    identity: ec.EllipticCurvePrivateKey
    rules: SumRules
    source: Source = os.urandom

    @cached_property
    def keys(self) -> RunKeys:
        """Its keys of the runs that are on."""
        return RunKeys(self.folder / "keys", self.source)

    @cached_property
    def journal(self) -> Chain:
        """What it did; lines as ``client.node.secure.sum_journal`` has them."""
        return Chain(self.folder / "sums.jsonl")

    @cached_property
    def replies(self) -> Replies:
        """What it sent in its last rounds; nothing in it is a secret of the site."""
        return Replies(self.folder / "masked")

    def introduce(self, run: str, *, examples: int, validation: int) -> RosterEntry:
        """What the site says of itself in a run, signed; its counts and its key are the same whenever it is asked.

        Args:
            run: its name.
            examples: the recordings that it trains on.
            validation: those that the second pass adds.

        Raises:
            Refused: it said other counts before, or the run is over.
            LedgerError: the journal was changed.
            FedserError: its key cannot be written or read.
        """
        sum_journal.check_on(self.journal.read(), run)
        self.keys.make(run, examples, validation)
        return self.entry(run).signed(run, self.identity)

    def entry(self, run: str) -> RosterEntry:
        """What the site said of itself, without its signature.

        Raises:
            Refused: it said nothing.
            FedserError: its key cannot be read.
        """
        key, (examples, validation) = self.keys.read(run)
        identity = openssh(self.identity.public_key())
        return RosterEntry(
            site=self.name, identity=identity, key=key.public.hex(), examples=examples, validation=validation
        )

    def secrets(self, run: str, roster: Roster) -> dict[str, bytes]:
        """What the site has in common with each of a roster; with itself what it alone knows.

        Raises:
            Refused: the site has no key of the run.
            FedserError: a key is none.
        """
        key, _ = self.keys.read(run)
        return {entry.site: key.agree(bytes.fromhex(entry.key)) for entry in roster.entries}
