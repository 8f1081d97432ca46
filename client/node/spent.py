"""What private runs have cost this site's people so far, by the ledger that the training process keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from client.node.policy import run_config


class Spent:
    """The ε of all runs together, before a message was answered and after.

    The accountant takes a second and 300 MB to import: that is paid by sites in private runs alone.

    Args:
        ledger: the folder of the site's ledger.
        site: its name.
    """

    def __init__(self, ledger: Path, site: str) -> None:
        self._path = ledger / f"{quote(site, safe='')}.jsonl"
        self._before: float | None = None

    def note(self, settings: Mapping[str, Any]) -> None:
        """Remember where the ledger is now, if the run is private.

        Raises:
            LedgerError: the ledger was changed.
        """
        self._before = self._epsilon(settings)

    def since(self, settings: Mapping[str, Any]) -> dict[str, float | None]:
        """The ε before, as noted, and now; nothing where the run is not private.

        Raises:
            LedgerError: the ledger was changed.
        """
        if not run_config(settings).privacy.at_sites:
            return {}
        return {"epsilon_before": self._before, "epsilon_after": self._epsilon(settings)}

    def _epsilon(self, settings: Mapping[str, Any]) -> float | None:
        privacy = run_config(settings).privacy
        if not privacy.at_sites:
            return None
        import math

        from common.privacy.accounting import epsilon_rdp
        from common.privacy.ledger import Ledger

        epsilon = epsilon_rdp(Ledger(self._path).spends(privacy.unit), privacy.delta)
        return epsilon if epsilon < math.inf else None
