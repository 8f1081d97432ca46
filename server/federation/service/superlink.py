"""Flower's SuperLink as the coordinator runs it, and its control interface, which lets nodes in and shuts them out."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import HEARTBEAT_PATIENCE
from flwr.proto.control_pb2 import ListNodesRequest, RegisterNodeRequest, UnregisterNodeRequest
from flwr.proto.node_pb2 import NodeInfo
from flwr.supercore.constant import NodeStatus
from flwr.supercore.control import ControlHttpClient

from common.deployment.environment import PROGRAMS, for_programs
from common.deployment.loopback import LOOPBACK
from common.deployment.site_kit import openssh
from common.errors import FederationError
from common.flower.connections import opened
from server.federation.folder.coordinator_folder import Folder
from server.federation.folder.registry import LinkedNode


def command(folder: Folder, listen: str = LOOPBACK) -> list[str]:
    """The SuperLink's command line: TLS, nodes known by their keys, a database that outlives it.

    Args:
        folder: the coordinator's.
        listen: the address; the whole interface listens there, so sites must not reach it.
    """
    return [
        str(PROGRAMS / "flower-superlink"),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
        *("--host", listen),
        *("--port", str(folder.superlink_port)),
        *("--isolation", "subprocess"),
        *("--database", str(folder.state / "superlink.db")),
        *("--ssl-ca-certfile", str(folder.trusted)),
        *("--ssl-certfile", str(folder.server_certificate)),
        *("--ssl-keyfile", str(folder.server_key)),
    ]


def environment(folder: Folder) -> dict[str, str]:
    """The SuperLink's environment, which its ServerApps inherit: nothing is sent home, nothing installed."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")  # ServerApps score, which more of them may speed up
    own = {"FEDSER_HOME": str(folder.root), "OMP_NUM_THREADS": threads}
    return {**for_programs(folder.state / "flwr"), **own}


def connect(folder: Folder) -> ControlHttpClient:
    """A client of the control interface of this machine's SuperLink."""
    return opened(ControlHttpClient, folder.superlink, folder.trusted.read_bytes())


class Control:
    """The control interface of this machine's SuperLink; every call raises ConnectionError where it doesn't answer."""

    def __init__(self, folder: Folder) -> None:
        self._client = connect(folder)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def nodes(self) -> dict[int, LinkedNode]:
        """The nodes that it lets in, by id."""
        try:
            found = self._client.ListNodes(ListNodesRequest()).nodes_info
        except httpx.HTTPError as error:
            raise ConnectionError(str(error)) from None
        return {info.node_id: _node(info) for info in found if info.status != NodeStatus.UNREGISTERED}

    def register(self, name: str, key: str) -> int:
        """Let a key in.

        Returns:
            The node's id.

        Raises:
            FederationError: it is no key, or Flower refuses it.
        """
        try:
            public = serialization.load_ssh_public_key(key.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise FederationError(
                f"sites.json has for {name} what is no public key; let the site send its own again: fedser federation "
                "add-site"
            ) from None
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        try:
            return self._client.RegisterNode(RegisterNodeRequest(public_key=pem, name=name)).node_id
        except httpx.HTTPStatusError as error:
            raise FederationError(f"Flower refuses {name}'s key: {error.response.text[:200]}") from None
        except httpx.HTTPError as error:
            raise ConnectionError(str(error)) from None

    def unregister(self, node: int) -> None:
        """Shut a node out."""
        try:
            self._client.UnregisterNode(UnregisterNodeRequest(node_id=node))
        except httpx.HTTPError as error:
            raise ConnectionError(str(error)) from None


def _node(info: NodeInfo) -> LinkedNode:
    key = serialization.load_pem_public_key(info.public_key)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError(f"node {info.node_id} has a key of another kind")
    online = info.status == NodeStatus.ONLINE
    seen = None
    if online:  # Flower keeps when the node will be overdue, not when it was heard
        beat = info.online_until - HEARTBEAT_PATIENCE * info.heartbeat_interval
        seen = datetime.fromtimestamp(beat, tz=UTC)
    elif info.last_deactivated_at:
        seen = datetime.fromisoformat(info.last_deactivated_at)
    return LinkedNode(key=openssh(key), online=online, seen=seen)
