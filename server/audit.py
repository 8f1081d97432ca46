"""The server's audit log: a hash-chained line a round, with the heads of the sites' own logs and ledgers.

A site's head stands for all that the site's log said until then: a log whose tail was cut, or that was put back to an
older state, no longer has it. So the server keeps what each site last told it, and tells the site in the next round.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.chain_file import Chain
from common.fingerprint import fingerprint
from server.checkpoint import Arrays, State


class ServerAudit:
    """The server's log of one run.

    Args:
        path: of the file; it is made at the first line.
    """

    def __init__(self, path: Path) -> None:
        self._chain = Chain(path)

    def begin(self, run_id: int, settings: Mapping[str, Any], sites: list[str]) -> None:
        """Note that a run starts, or goes on."""
        self._chain.append("start", run=str(run_id), settings=dict(settings), sites=sites)

    def round(self, number: int, before: Arrays, state: State, sites: Mapping[str, Any]) -> None:
        """Note a round: the model before and after, what each site sent, and how far its records are."""
        told = {name: {key: site.get(key) for key in ("examples", "bytes")} for name, site in sites.items()}
        models = {"model_in": fingerprint(before), "model_out": fingerprint(state.arrays)}
        self._chain.append("round", round=number, **models, sites=told, ledgers=state.heads, audits=state.audits)

    def refused(self, number: int, refused: Mapping[str, str]) -> None:
        """Note the updates that were not taken."""
        if refused:
            self._chain.append("refused", round=number, sites=dict(refused))
