"""How far each site's ledger and audit log were when it last answered, kept from run to run at the coordinator.

Within a run the checkpoint has them. Without this file a new run would know nothing, and a site whose disk was put back
to an older copy between two runs would spend its budget again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import FederationError
from common.storage import atomic
from server.run.checkpoint import State
from server.sites.handshake import Node

FILE = Path("state/heads.json")  # in the coordinator's folder
_HEADS = ("ledger", "audit")
_Kept = dict[str, dict[str, Any]]


class Heads:
    """What the sites of a run told, in this run and earlier ones.

    A site that lost its disk for good gets a new key: then Flower knows it by another number, and what the old one told
    no longer counts.

    Args:
        path: of the file; it is made when a round ends.
        nodes: all that take part.

    Raises:
        FederationError: the file is broken.
    """

    def __init__(self, path: Path, nodes: Sequence[Node]) -> None:
        self._path = path
        self._numbers = {node.site: node.id for node in nodes}
        self._read()

    def recall(self, state: State) -> None:
        """Put what the sites told in earlier runs into a run's state, where they have told it nothing later."""
        for site, told in self._read().items():
            if self._numbers.get(site) == told["node"]:
                for heads, kept in ((state.heads, told["ledger"]), (state.audits, told["audit"])):
                    if kept and kept[0] >= heads.get(site, (0, ""))[0]:
                        heads[site] = (kept[0], kept[1])

    def keep(self, state: State) -> None:
        """Note what the sites have told until now.

        Raises:
            FederationError: the file is broken.
            FedserError: it cannot be written.
        """
        known = self._read()
        for site, number in self._numbers.items():  # a resumed run's state has sites that are no longer in it
            ledger, audit = state.heads.get(site), state.audits.get(site)
            if ledger or audit:
                known[site] = {"node": number, "ledger": ledger, "audit": audit}
        atomic.write(self._path, json.dumps(known, indent=1, sort_keys=True), durable=True)

    def _read(self) -> _Kept:
        try:
            return {site: _checked(told) for site, told in json.loads(self._path.read_text(encoding="utf-8")).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise FederationError(
                f"{self._path} cannot be read ({type(error).__name__}); put back a copy, or delete it: then nobody "
                "notices a site's ledger that was put back between two runs"
            ) from None


def _checked(told: Mapping[str, Any]) -> dict[str, Any]:
    heads = {name: None if told[name] is None else (int(told[name][0]), str(told[name][1])) for name in _HEADS}
    return {"node": told["node"], **heads}
