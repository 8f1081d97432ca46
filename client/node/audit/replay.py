"""What a run may settle but once, however often the server asks: its name in the ledger, and the model it tests.

The audit log has what a run has settled, so that a restart of the node changes nothing: a server can bring one about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from flwr.app import RecordDict

from client.node.audit.model_hash import model_hash
from client.node.gate.outbound import Refused
from common import protocol
from common.storage.hash_chain import Entry

NAME, TESTED = "name", "tested"  # in a line of the audit log: the run's in the ledger; of the model, a digest


def check_replay(
    earlier: Sequence[Entry], run: int, kind: str, config: Mapping[str, Any], content: RecordDict
) -> dict[str, str]:
    """Refuse a message that asks again, with another value, for what its run may settle but once.

    Held-out speakers score one model a run: with many models of the server's making, counts and losses would tell
    what a single recording is like. The same model again is a retry, and may be.

    Args:
        earlier: the lines of the audit log.
        run: Flower's number.
        kind: of message.
        config: its settings, which the policy allows.
        content: its records, the arrays not packed.

    Returns:
        What the message settles, for its own line.

    Raises:
        Refused: the run has another name in the ledger, or had another model tested.
        FedserError: the arrays are not what the message says that they are.
    """
    fields = {NAME: str(config[protocol.RUN])} if config.get(protocol.RUN) else {}
    if fields and (name := _before(earlier, run, NAME)) not in (None, fields[NAME]):
        raise Refused(f"the run calls itself {fields[NAME]} in the ledger, and was {name} before")
    if kind != protocol.EVALUATE_TEST:
        return fields
    tested = _digest(content)
    if _before(earlier, run, TESTED) not in (None, tested):
        raise Refused("the held-out speakers have scored a model in this run, and score no other")
    return fields | {TESTED: tested}


def _before(earlier: Sequence[Entry], run: int, key: str) -> str | None:
    """What the run settled, the last time it did."""
    return next((line[key] for line in reversed(earlier) if key in line and line["run"] == run), None)


def _digest(content: RecordDict) -> str:
    """Of all arrays: the weights, and the scaling, which moves the scores as well."""
    lines = (f"{name} {model_hash(record)}" for name, record in sorted(content.array_records.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
