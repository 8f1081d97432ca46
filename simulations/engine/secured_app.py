"""The sites' nodes of a simulation whose sums are behind masks: each in front of the app, as in a deployment.

Their keys are made with the fold's folder, and each has every other's. What a node keeps lies in the folder too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Context, Error, Message

from client.node.secure.secure_node import SecureNode
from client.node.secure.secure_site import SecureSite
from client.node.secure.sum_rules import SumRules
from common import protocol
from common.config.run_config import parse_run_config
from common.deployment.site_kit import make_key, openssh
from common.errors import FedserError
from common.storage import atomic

log = logging.getLogger("fedser.client")
KEYS = "keys.pem"  # in a fold's folder of sums
MOST_NORM = 1e6  # of an update: on one machine nobody is kept out by it
REFUSED = 2  # Flower's code for a ClientApp that raised


class SecuredApp:
    """Answers messages to any of the sites, as the site's node and its app would.

    Args:
        app: the sites' own.
        folder: of what the nodes keep.
        sites: their names, in the order of their places in the plan.
    """

    def __init__(self, app: Callable[[Message, Context], Message], folder: Path, sites: Sequence[str]) -> None:
        self._app, self._folder, self._sites = app, folder, sites
        self._keys = read_keys(folder, sites)
        self._nodes: dict[str, SecureNode] = {}
        self._counts: dict[str, tuple[int, int]] = {}

    def __call__(self, message: Message, context: Context) -> Message:
        """The reply as it leaves the site."""
        site = self._sites[int(str(context.node_config[protocol.PARTITION]))]
        try:
            return self._answer(self._node(site), message, context)
        except FedserError as error:
            log.error("site %s: %s", site, error)
            return Message(Error(REFUSED, str(error)), reply_to=message)  # all of it is on one machine

    def _answer(self, node: SecureNode, message: Message, context: Context) -> Message:
        kind, asked, site = message.metadata.message_type, message.content, node.site.name
        if kind == protocol.KEYS:
            return Message(node.introduce(asked, *self._counts[site]), reply_to=message)
        if kind in (protocol.VOTE, protocol.UNMASK):
            return Message(node.vote(asked) if kind == protocol.VOTE else node.unmask(asked), reply_to=message)
        if protocol.SECURE not in asked:
            return self._hear(node, message, self._app(message, context))
        config = parse_run_config(context.run_config)
        reserved = node.reserve(kind, asked, config, bundle="")
        reply = self._app(message, context)
        if reply.has_content() and protocol.STOPPED not in reply.content.config_records.get(protocol.CONFIG, ()):
            reply.content = node.masked(reserved, asked, reply.content, config)
        return reply

    def _hear(self, node: SecureNode, message: Message, reply: Message) -> Message:
        """Keep the counts of a hello; one that names a run is its farewell."""
        if message.metadata.message_type == protocol.HELLO and reply.has_content():
            told = reply.content.config_records[protocol.CONFIG]
            if run := message.content.config_records[protocol.CONFIG].get(protocol.RUN):
                node.rounds.end(str(run))
            else:
                counts = (int(str(told[key])) for key in (protocol.EXAMPLES, protocol.VALIDATION_EXAMPLES))
                self._counts[node.site.name] = next(counts), next(counts)
        return reply

    def _node(self, site: str) -> SecureNode:
        if site not in self._nodes:
            peers = {name: openssh(key.public_key()) for name, key in self._keys.items()}
            rules = SumRules(peers=peers, max_norm=MOST_NORM, largest_share=1.0)
            folder = self._folder / str(self._sites.index(site))
            self._nodes[site] = SecureNode(SecureSite(folder=folder, name=site, identity=self._keys[site], rules=rules))
        return self._nodes[site]


def make_keys(folder: Path, sites: Sequence[str]) -> None:
    """Make the sites' registered keys, unless they are there."""
    if not (folder / KEYS).exists():
        content = b"".join(make_key().private for _ in sites)
        atomic.make_folder(folder)
        atomic.write(folder / KEYS, content.decode(), durable=True, private=True)


def read_keys(folder: Path, sites: Sequence[str]) -> dict[str, ec.EllipticCurvePrivateKey]:
    """The registered keys, by site.

    Raises:
        FedserError: they are not those of so many sites.
    """
    end = b"-----END OPENSSH PRIVATE KEY-----\n"
    parts = (folder / KEYS).read_bytes().split(end)[:-1]
    if len(parts) != len(sites):
        raise FedserError(f"{folder / KEYS} has {len(parts)} keys, the fold has {len(sites)} sites; start anew")
    keys = [serialization.load_ssh_private_key(part + end, None) for part in parts]
    return {site: key for site, key in zip(sites, keys, strict=True) if isinstance(key, ec.EllipticCurvePrivateKey)}
