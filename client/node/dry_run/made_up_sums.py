"""How a reply leaves behind masks, in a dry run: with peers that are made up, and keys that nobody keeps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ConfigRecord, RecordDict

from client.node.policy.document import Policy
from client.node.secure.secure_node import SecureNode
from client.node.secure.secure_site import SecureSite
from client.node.secure.sum_rules import SumRules
from common import protocol
from common.config.settings import Config
from common.deployment.site_kit import openssh
from common.flower import sum_messages
from common.messages import masked_forms
from common.secure.roster import Roster


class MadeUpSums:
    """A site among as many peers as its policy asks for, each with as many recordings.

    Args:
        folder: of what the nodes keep; deleted afterwards.
        site: its name.
        policy: the site's.
        config: of the run.
        run: its name.
        counts: the recordings that the site trains on, and those that the second pass adds.
    """

    def __init__(
        self, folder: Path, site: str, policy: Policy, config: Config, run: str, counts: tuple[int, int]
    ) -> None:
        rules = SumRules.of(policy)
        needed = max(rules.least_sites, config.privacy.honest + rules.colluding)
        names = [site, *(f"{site}-peer-{place}" for place in range(1, needed))]
        keys = {name: ec.generate_private_key(ec.SECP384R1()) for name in names}
        peers = {name: openssh(key.public_key()) for name, key in keys.items()}
        rules = dataclasses.replace(rules, peers=peers)
        nodes = [SecureSite(folder=folder / name, name=name, identity=keys[name], rules=rules) for name in names]
        examples, validation = counts
        self._config, self._run, self._node = config, run, SecureNode(nodes[0])
        self._roster = Roster.of(node.introduce(run, examples=examples, validation=validation) for node in nodes)

    def about(self, kind: str) -> ConfigRecord:
        """What a message of a type has beside its own records."""
        later = self._config.most_rounds + 1 + masked_forms.MASKABLE.index(kind)
        return sum_messages.asked(self._run, 1 if kind == protocol.TRAIN else later, self._roster)

    def masked(self, kind: str, asked: RecordDict, reply: RecordDict) -> RecordDict:
        """What leaves in place of a reply that the gate passed.

        Raises:
            Refused: as at the node.
        """
        reserved = self._node.reserve(kind, asked, self._config, bundle="")
        return self._node.masked(reserved, asked, reply, self._config)
