"""The sums behind masks that this site is in: what the node answers by itself, and what leaves in place of a reply.

Between the guard and ``client.node.secure``, which knows neither policy nor audit log. Three messages the node answers
alone, and no app is started for them: its key of the run, its vote for a list of sites, its part in opening their sum.
The rules are those of the policy as it is at each of these steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import RecordDict

from client.node.audit import replay
from client.node.flower.fab import CheckedRun
from client.node.gate.answers import Refused
from client.node.secure.secure_node import Reserved, SecureNode
from client.node.secure.secure_site import SecureSite
from client.node.secure.sum_rules import SumRules
from common import protocol
from common.messages import masked_forms
from common.storage.hash_chain import Entry


class RunSums:
    """A site in the secure sums of its runs.

    Args:
        folder: of what it keeps for them, which no trainer sees.
        site: its name.
        identity: reads its registered key.
    """

    def __init__(self, folder: Path, site: str, identity: Callable[[], ec.EllipticCurvePrivateKey]) -> None:
        self._folder, self._site, self._identity = folder, site, identity
        self._known: SecureNode | None = None

    def reserve(self, kind: str, content: RecordDict, run: CheckedRun, earlier: Sequence[Entry]) -> Reserved | None:
        """Bind the site to a round before its app sees it; None for a message that no masks are for.

        Args:
            kind: of message.
            content: of it, checked by its form, the arrays not packed.
            run: whose it is.
            earlier: the lines of the audit log.

        Raises:
            Refused: the site does not add up on these terms.
            FedserError: as ``SecureNode.reserve``.
        """
        if not run.config.federation.secure or kind not in masked_forms.MASKABLE:
            return None
        self._check_name(content, run, earlier)
        return self._node(run).reserve(kind, content, run.config, run.fab.hash_str)

    def answer(self, kind: str, content: RecordDict, run: CheckedRun, earlier: Sequence[Entry]) -> RecordDict:
        """The answer to one of ``masked_forms.ALONE``.

        Args:
            kind: which.
            content: of the message, checked by its form.
            run: whose it is.
            earlier: the lines of the audit log.

        Raises:
            Refused: the site does not answer it.
            FedserError: as ``SecureNode``.
        """
        if kind == protocol.KEYS:
            counts = replay.counted(earlier, run.run.run_id), replay.set_aside(earlier, run.run.run_id)
            if counts[0] is None or counts[1] is None:
                raise Refused("the run was not told yet how much there is here, which is what a key goes with")
            return self._node(run).introduce(content, examples=counts[0], validation=counts[1])
        self._check_name(content, run, earlier)
        node = self._node(run)
        return node.vote(content) if kind == protocol.VOTE else node.unmask(content)

    def masked(self, reserved: Reserved, asked: RecordDict, reply: RecordDict, run: CheckedRun) -> RecordDict:
        """What leaves in place of a reply that the gate has passed; one that says that the site is out, as it is.

        Args:
            reserved: what its message came to.
            asked: the message, its arrays not packed.
            reply: likewise.
            run: whose it is, under the policy as it is now.

        Raises:
            Refused: the reply is of another count than the site signed, or the update is too large.
            FedserError: as ``SecureNode.masked``.
        """
        if protocol.STOPPED in reply.config_records.get(protocol.CONFIG, {}):
            return reply
        return self._node(run).masked(reserved, asked, reply, run.config)

    def end(self, content: RecordDict, run: CheckedRun, earlier: Sequence[Entry]) -> None:
        """Delete the keys of a run whose farewell came; nothing for another message.

        Args:
            content: of a hello.
            run: whose it is.
            earlier: the lines of the audit log.

        Raises:
            FedserError: something cannot be deleted.
        """
        name = content.config_records[protocol.CONFIG].get(protocol.RUN)
        if name and run.config.federation.secure and name == replay.named(earlier, run.run.run_id):
            self._node(run).rounds.end(str(name))

    def _check_name(self, content: RecordDict, run: CheckedRun, earlier: Sequence[Entry]) -> None:
        """Check that a sum is of the run that the site told its key."""
        name, known = str(content.config_records[protocol.SECURE][protocol.RUN]), replay.named(earlier, run.run.run_id)
        if name != known:
            raise Refused(f"a sum of run {name} is asked for, the site told its key for {known or 'none yet'}")

    def _node(self, run: CheckedRun) -> SecureNode:
        """The node by the policy's rules, with the keys of its peers as they are on the disk now."""
        rules = SumRules.of(run.policy)
        if self._known is None or self._known.site.rules != rules:
            site = SecureSite(folder=self._folder, name=self._site, identity=self._identity(), rules=rules)
            self._known = SecureNode(site)
        return self._known
