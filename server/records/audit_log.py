"""The server's audit log: a hash-chained line a round, with the heads of the sites' own logs and ledgers.

Each line says of which run it is, and of which bundle. A round's has the model before and after, and of each site what
it sent: recordings, bytes, the keys of its records, and, where it tells that, the ε of all its runs before and after. A
refusal has a line of its own. A site's head stands for all that the site's log said until then: a log whose tail was
cut, or that was put back to an older state, no longer has it. So the server keeps what each site last told it, and
tells the site in the next round, together with how far its own log is, which the sites keep in turn.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flwr.app import Message

from common import protocol
from common.storage.chained_file import Chain
from common.storage.fingerprint import fingerprint
from common.storage.hash_chain import head_of
from server.messages.rejections import Refused, short
from server.run.checkpoint import Arrays, State

_MOST_KEYS = 200  # of a record that are noted: a site may write any


class ServerAudit:
    """The server's log of one run.

    Args:
        path: of the file; it is made at the first line.
        run: Flower's number of the run.
        bundle: the SHA-256 of the code that was sent to the sites; empty where there is none.
    """

    def __init__(self, path: Path, run: int, bundle: str) -> None:
        self._chain = Chain(path)
        self._about = {"run": str(run), "bundle": bundle or None}
        self._records: dict[str, dict[str, list[str]]] = {}

    def begin(self, settings: Mapping[str, Any], sites: list[str]) -> None:
        """Note that a run starts, or goes on, with which settings and sites."""
        self._chain.append("start", **self._about, settings=dict(settings), sites=sites)

    def about(self) -> dict[str, Any]:
        """How far this log is, for a message to the sites, which note it: so it can't be taken back."""
        entries = self._chain.read()
        head = head_of(entries)
        log = {protocol.SERVER_LOG: head_of(entries[:1]).hash}
        return log | {protocol.SERVER_ENTRIES: head.entries, protocol.SERVER_HASH: head.hash}

    def hear(self, site: str, reply: Message) -> None:
        """Keep the keys of what a site sent, for the round's line."""
        self._records[site] = {
            short(name): [short(key) for key in sorted(record)[:_MOST_KEYS]]
            for name, record in list(reply.content.items())[:_MOST_KEYS]
        }

    def note_round(
        self,
        number: int,
        before: Arrays,
        state: State,
        sites: Mapping[str, Any],
        spent: tuple[float, float] | None = None,
    ) -> None:
        """Note a round.

        Args:
            number: of the round.
            before: the global model that the sites were sent.
            state: after the round, which is the last of its history.
            sites: the round's entries by site.
            spent: the ε of all runs, before and after, by the server's own ledger; None where it keeps none.
        """
        models = {"model_in": fingerprint(before), "model_out": fingerprint(state.arrays)}
        entries = {name: self._site(name, site, state) for name, site in sites.items()}
        own = _spent(*spent) if spent else {}
        heads = {"ledgers": state.heads, "audits": state.audits}
        self._chain.append("round", **self._about, round=number, **models, sites=entries, **own, **heads)
        self._records = {}

    def _site(self, name: str, entry: Mapping[str, Any], state: State) -> dict[str, Any]:
        """What a round's line says of a site."""
        sent = {key: entry.get(key) for key in ("examples", "bytes")} | {"records": self._records.get(name)}
        if (after := entry.get("epsilon_total")) is None:
            return sent
        earlier = (past["sites"].get(name, {}) for past in reversed(state.history[:-1]))
        before = next((told["epsilon_total"] for told in earlier if "epsilon_total" in told), None)
        return sent | _spent(before, after)

    def note_refused(self, number: int, what: str, refused: Mapping[str, str]) -> None:
        """Note what was not taken.

        Args:
            number: of the round; 0 before the first.
            what: the type of the messages that were answered.
            refused: by site, why.
        """
        if refused:
            self._chain.append("refused", **self._about, round=number, type=what, sites=dict(refused))


@contextlib.contextmanager
def note_refusals(audit: ServerAudit | None, number: int, what: str) -> Iterator[Refused]:
    """Write the block's refusals to the log when it ends, by an error too; see ``ServerAudit.note_refused``.

    Yields:
        Where the refusals are to be added.
    """
    refused: Refused = {}
    try:
        yield refused
    finally:
        if audit is not None:
            audit.note_refused(number, what, refused)


def _spent(before: float | None, after: float) -> dict[str, float | None]:
    """The ε of all runs before a round and after it; None where it is not known, or infinite."""
    known = {"epsilon_before": before, "epsilon_after": after}
    return {name: value if value is not None and math.isfinite(value) else None for name, value in known.items()}
