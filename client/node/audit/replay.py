"""What a run may settle but once, however often the server asks: its name in the ledger, the model it tests, the one
that it calibrates, and how much the site holds.

The audit log has what a run has settled, so that a restart of the node changes nothing: a server can bring one about.
It also tells which messages of a private run were never answered. That an app fails, or is killed, may tell of what it
works on, so a run in which that happened too often is answered no more.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flwr.app import RecordDict

from client.node.audit.model_hash import model_hash
from client.node.gate.outbound import Refused
from common import protocol
from common.storage.hash_chain import Entry

# In a line of the audit log: the run's name in the ledger; of a model, a digest; units or recordings to train on; those
# that are set aside to choose the round by.
NAME, TESTED, CALIBRATED, COUNTED, ASIDE = "name", "tested", "calibrated", "counted", "aside"
_ONE_MODEL = {
    protocol.EVALUATE_TEST: (TESTED, "the held-out speakers have scored a model in this run, and score no other"),
    protocol.EVALUATE_CONFIDENCE: (CALIBRATED, "the run was told how sure one model is of the validation speakers"),
}
MOST_UNANSWERED = 4  # messages of a private run: one more than rounds that the app's ledger lets be cut short


def check_replay(
    earlier: Sequence[Entry], run: int, kind: str, config: Mapping[str, Any], content: RecordDict
) -> dict[str, str]:
    """Refuse a message that asks again, with another value, for what its run may settle but once.

    Held-out speakers score one model a run: with many models of the server's making, counts and losses would tell
    what a single recording is like. So it is with how sure a model is of the validation speakers. The same model again
    is a retry, and may be.

    Args:
        earlier: the lines of the audit log.
        run: Flower's number.
        kind: of message.
        config: its settings, which the policy allows.
        content: its records, the arrays not packed.

    Returns:
        What the message settles, for its own line.

    Raises:
        Refused: the run has another name in the ledger, had another model tested or calibrated, or was told what the
            site holds.
        FedserError: the arrays are not what the message says that they are.
    """
    fields = {NAME: str(config[protocol.RUN])} if config.get(protocol.RUN) else {}
    if fields and (name := _before(earlier, run, NAME)) not in (None, fields[NAME]):
        raise Refused(f"the run calls itself {fields[NAME]} in the ledger, and was {name} before")
    if kind == protocol.HELLO and not fields and counted(earlier, run) is not None:
        raise Refused("the run was told how much there is here, and is told it once: by now it may be more")
    if kind not in _ONE_MODEL:
        return fields
    (key, why), digest = _ONE_MODEL[kind], _digest(content)
    if _before(earlier, run, key) not in (None, digest):
        raise Refused(why)
    return fields | {key: digest}


def check_answered(earlier: Sequence[Entry], run: int, alone: Collection[str] = ()) -> None:
    """Refuse another message of a private run in which too many were taken in and not answered.

    Args:
        earlier: the lines of the audit log; none of these messages is in hand any more.
        run: Flower's number.
        alone: types that the node answers without its app, whose failure tells nothing.

    Raises:
        Refused: the site is out of the run.
    """
    kinds = Counter(line["kind"] for line in earlier if line.get("run") == run and line.get("type") not in alone)
    if (failed := kinds["in"] - kinds["out"]) >= MOST_UNANSWERED:
        raise Refused(f"{failed} messages of this private run were not answered here; the site is out of the run")


def told_counts(kind: str, content: RecordDict) -> dict[str, int]:
    """Of a reply that leaves, what its line in the audit log says of how much the site trains on."""
    answer = content.config_records.get(protocol.CONFIG)
    if kind != protocol.HELLO or answer is None or protocol.EXAMPLES not in answer:
        return {}
    return {COUNTED: int(str(answer[protocol.EXAMPLES])), ASIDE: int(str(answer[protocol.VALIDATION_EXAMPLES]))}


def counted(earlier: Sequence[Entry], run: int) -> int | None:
    """How much the run was told that the site trains on; None where it was not told yet."""
    found = _before(earlier, run, COUNTED)
    return None if found is None else int(found)


def set_aside(earlier: Sequence[Entry], run: int) -> int | None:
    """How much the run was told that the site sets aside to choose the round by; None where it was not told yet."""
    found = _before(earlier, run, ASIDE)
    return None if found is None else int(found)


def named(earlier: Sequence[Entry], run: int) -> str | None:
    """The name by which a run goes in ledgers and sums; None where it told none yet."""
    return _before(earlier, run, NAME)


def keep_count(kind: str, content: RecordDict, earlier: Sequence[Entry], run: int) -> None:
    """Write the examples of a private update as the run was told them: another number would tell who came since."""
    metrics, told = content.metric_records.get(protocol.METRICS), counted(earlier, run)
    if kind == protocol.TRAIN and metrics is not None and told is not None:
        metrics[protocol.EXAMPLES] = told


def _before(earlier: Sequence[Entry], run: int, key: str) -> str | None:
    """What the run settled, the last time it did."""
    return next((line[key] for line in reversed(earlier) if key in line and line["run"] == run), None)


def _digest(content: RecordDict) -> str:
    """Of all arrays: the weights, and the scaling, which moves the scores as well."""
    lines = (f"{name} {model_hash(record)}" for name, record in sorted(content.array_records.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
