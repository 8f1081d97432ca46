"""What a run may settle but once, however often the server asks: its name in the ledger, and the model it tests.

Kept in memory: a node that was restarted forgets it, as it forgets the bytes of a round. A restart is the site's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from flwr.app import RecordDict

from client.node.arrays import model_hash, values_of
from client.node.gate import Refused
from common import packing, protocol


class AskedOnce:
    """Of each run, by Flower's number."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._tested: dict[int, str] = {}

    def check(self, run: int, kind: str, config: Mapping[str, Any], content: RecordDict) -> None:
        """Hold a message against what its run asked before.

        Held-out speakers score one model a run: with many models of the server's making, counts and losses would tell
        what a single recording is like. The same model again is a retry, and may be.

        Args:
            run: Flower's number.
            kind: of message.
            config: its settings, which the policy allows.
            content: its records.

        Raises:
            Refused: the run has another name in the ledger, or had another model tested.
            FedserError: the arrays are not what the message says that they are.
        """
        if (name := config.get(protocol.RUN)) and self._names.setdefault(run, name) != name:
            raise Refused(f"the run calls itself {name} in the ledger, and was {self._names[run]} before")
        if kind == protocol.EVALUATE_TEST and self._tested.setdefault(run, digest := _digest(content)) != digest:
            raise Refused("the held-out speakers have scored a model in this run, and score no other")


def _digest(content: RecordDict) -> str:
    """Of all arrays: the weights, and the scaling, which moves the scores as well."""
    records = packing.unpack(content, values_of).array_records
    lines = (f"{name} {model_hash(record)}" for name, record in sorted(records.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
