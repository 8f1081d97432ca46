"""The outbound gate: what leaves a site is made anew, of values that were expected, in a form that was expected.

Nothing of a reply is passed on as it came: what is not on the list for its type of message is refused, with the whole
reply. So neither a bundle that tells too much nor an exception's text, a path or a speaker's id gets out. What no gate
can see is what a model's weights say of the people it was trained on; that is what differential privacy bounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from client.node.gate.answers import Refused, Reply
from client.node.policy.document import Policy
from common import protocol
from common.config.settings import Config
from common.errors import FedserError
from common.flower import packing
from common.messages.fields import short
from common.messages.npy import values_of
from common.storage.hash_chain import Entry, Head

__all__ = ["Refused", "RoundBytes", "passed", "record_bytes", "with_head"]


def passed(reply: Message, asked: Message, *, site: str, policy: Policy, config: Config, head: Head) -> RecordDict:
    """What leaves of an app's reply.

    Args:
        reply: of the app.
        asked: the server's message, which the policy has allowed.
        site: its name.
        policy: the site's.
        config: of the run.
        head: of the site's audit log, which is added.

    Returns:
        New records, for a new message; their arrays are not packed.

    Raises:
        Refused: the reply is an error, lacks something, or has something that may not leave.
    """
    if reply.has_error():
        raise Refused(f"the app failed (code {int(reply.error.code)}); its own log says why")
    if (kind := asked.metadata.message_type) != reply.metadata.message_type or kind not in policy.outbound.types:
        raise Refused(f"a reply to {short(kind)} may not leave")
    try:
        content, asked_content = (packing.unpack(message.content, values_of) for message in (reply, asked))
    except FedserError as error:
        raise Refused(str(error)) from None
    answer = Reply(kind=kind, content=content, asked=asked_content, site=site, policy=policy, config=config)
    return with_head(RecordDict(answer.made_anew()), head)


def with_head(content: RecordDict, head: Head) -> RecordDict:
    """The same records, and how far the site's audit log is."""
    record: Any = content.config_records.get(protocol.CONFIG, {})
    audit: Any = {protocol.AUDIT_ENTRIES: head.entries, protocol.AUDIT_HASH: head.hash}
    return RecordDict({**content, protocol.CONFIG: ConfigRecord({**record, **audit})})


def record_bytes(content: RecordDict) -> dict[str, int]:
    """How many bytes each record is on its way: arrays as they are stored, the others as they are sent."""
    return {
        name: sum(len(array.data) for array in record.values())
        if isinstance(record, ArrayRecord)
        else len(record.deflate())
        for name, record in content.items()
    }


class RoundBytes:
    """Counts what left, by run and round.

    The server names the rounds (a message's ``group_id``), so what a run may send in all is bounded too: a round's
    bytes times the rounds that the policy allows, and one for what is asked before and after them.

    Args:
        left: what has left already, by the audit log: its lines of the kind ``out``.
    """

    def __init__(self, left: Iterable[Entry] = ()) -> None:
        self._sent: Counter[tuple[int, str]] = Counter()
        self._run: Counter[int] = Counter()
        for line in left:
            self._sent[line["run"], line["round"]] += line["bytes"]
            self._run[line["run"]] += line["bytes"]

    def add(self, run: int, group: str, size: int, policy: Policy) -> None:
        """Count what is about to leave.

        Raises:
            Refused: it is more than the policy allows; nothing was counted.
        """
        most, rounds = policy.outbound.max_bytes_round, policy.run.max_rounds
        if (sent := self._sent[run, group] + size) > most:
            raise Refused(f"{sent} bytes would have left in a round, the policy allows {most} (max_bytes_round)")
        if (whole := self._run[run] + size) > most * (rounds + 1):
            raise Refused(f"{whole} bytes would have left in a run, the policy allows {most} times {rounds} rounds")
        self._sent[run, group], self._run[run] = sent, whole
