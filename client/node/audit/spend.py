"""What private runs have cost this site's people so far, by the ledger that the training process keeps.

The audit log has how far the ledger was with each reply: a ledger that was put back to an older copy alone, between two
runs or within one, no longer has that, and nothing more is answered in private runs.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.node.audit.site_log import AuditLog
from client.node.gate.answers import Refused
from client.node.policy.clauses import PrivacyPolicy
from common.config.settings import PrivacyConfig
from common.errors import UsageError
from common.storage.hash_chain import Head

if TYPE_CHECKING:
    from common.privacy.ledger.account import Ledger

LEDGER = "ledger"  # in a line of the audit log: the ledger's lines, and the last one's hash


class Spent:
    """The ε of all runs together, before a message was answered and after, for the unit that the budget is for.

    The accountant takes a second and 300 MB to import: that is paid by sites in private runs alone.

    Args:
        ledger: the folder of the site's ledger.
        site: its name.
        audit: the site's log.
    """

    def __init__(self, ledger: Path, site: str, audit: AuditLog) -> None:
        self._folder, self._site = ledger, site
        self._audit = audit
        self._head: Head | None = None  # of the ledger, at the last reply
        self._before: float | None = None

    def note(self, privacy: PrivacyConfig, policy: PrivacyPolicy | None = None) -> None:
        """Remember where the ledger is now, if the run is private.

        Args:
            privacy: of the run.
            policy: the site's; with a budget, the run must be one that its ledger can count in that.

        Raises:
            LedgerError: the ledger was changed, or is older than the audit log says.
            Refused: the budget is for another unit, or at another δ.
        """
        self._before = self._epsilon(privacy)
        if policy is not None and privacy.at_sites and policy.budget < math.inf:
            from common.privacy.ledger.budget_unit import refuse_other

            try:
                refuse_other(self.ledger().begun(), privacy, named=policy.unit)
            except UsageError as error:
                raise Refused(str(error)) from None

    def since(self, privacy: PrivacyConfig) -> dict[str, Any]:
        """The ε before, as noted, and now, and how far the ledger is; nothing where the run is not private.

        Raises:
            LedgerError: as ``note``.
        """
        if not privacy.at_sites:
            return {}
        after = self._epsilon(privacy)
        head = self._head
        ledger = [head.entries, head.hash] if head else None
        return {"epsilon_before": self._before, "epsilon_after": after, LEDGER: ledger}

    def _epsilon(self, privacy: PrivacyConfig) -> float | None:
        if not privacy.at_sites:
            return None
        from common.privacy.accounting.accountants import epsilon_rdp
        from common.privacy.ledger.budget_unit import budget_unit

        ledger = self.ledger()
        unit = budget_unit(ledger.begun(), privacy.unit)
        epsilon, self._head = epsilon_rdp(ledger.spends(unit), privacy.delta), ledger.head()
        return epsilon if epsilon < math.inf else None

    def ledger(self) -> Ledger:
        """The ledger as it is now.

        Raises:
            LedgerError: as ``note``.
        """
        from common.privacy.ledger.account import Ledger

        return Ledger.of_site(self._folder, self._site, expected=self._head or self._noted())

    def _noted(self) -> Head | None:
        """How far the ledger was at the last private reply of any run, by the audit log."""
        noted = (entry[LEDGER] for entry in reversed(self._audit.settled()) if entry.get(LEDGER))
        return next((Head(entries=entries, hash=digest) for entries, digest in noted), None)
