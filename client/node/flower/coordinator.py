"""Whether the coordinator answers and takes this site's key, in words: Flower tries for ever, or ends with a number."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE
from flwr.proto.fleet_pb2 import ActivateNodeRequest, DeactivateNodeRequest
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from common.deployment.site_kit import AUTHORITY, PRIVATE_KEY
from common.errors import FederationError, UsageError
from common.flower.connections import opened
from common.storage import atomic

log = logging.getLogger("fedser.node")

WAITS = (1.0, 2.0, 4.0, 5.0)  # seconds from one try to the next; the last goes on
NOT_TAKEN = 412  # Flower's answer to a key that is not registered, or that another process uses


@dataclass(frozen=True, kw_only=True)
class Coordinator:
    """Where the coordinator is, and how this site shows who it is.

    Attributes:
        address: ``host:port``.
        kit: the folder with ``ca.crt``, of the authority that signed the coordinator's certificate, and this site's
            ``key``. They are read each time: either may be replaced while the site waits.
        number: a file for the number by which Flower knows this site.
    """

    address: str
    kit: Path
    number: Path

    def certificate(self) -> bytes:
        """Of the authority, in PEM.

        Raises:
            UsageError: there is none, or it is none.
        """
        path = self.kit / AUTHORITY
        content = _read(path, "it is part of the kit")
        try:
            x509.load_pem_x509_certificate(content)
        except ValueError:
            raise UsageError(f"{path} is no certificate; unpack it from the kit again") from None
        return content

    def key(self) -> ec.EllipticCurvePrivateKey:
        """This site's key, in OpenSSH's format.

        Raises:
            UsageError: there is none, or it is of another kind.
        """
        path = self.kit / PRIVATE_KEY
        hint = f"make it with: fedser site keygen --kit {self.kit}"
        try:
            key = load_ssh_private_key(_read(path, hint), None)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise UsageError(f"{path} is not a key that Flower takes; {hint}")
        return key

    def wait(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait until the coordinator takes this site in; say why it does not, once a reason."""
        said = ""
        for seconds in chain(WAITS, repeat(WAITS[-1])):
            try:
                self.knock()
                return
            except FederationError as error:
                if str(error) != said:
                    log.warning("%s; trying again until it does", error)
                said = str(error)
            sleep(seconds)

    def knock(self) -> None:
        """See whether the coordinator takes this site in, and leave it as it was: Flower does not take a node in twice.

        Raises:
            FederationError: it does not answer, is not who it should be, or does not take this site's key.
        """
        key = self.key()
        public = key.public_key()
        request = ActivateNodeRequest(
            public_key=public_key_to_bytes(public), heartbeat_interval=HEARTBEAT_DEFAULT_INTERVAL
        )
        try:
            with opened(
                FleetHttpClient, self.address, self.certificate(), [NodeAuthHttpInterceptor(key, public)]
            ) as client:
                self._leave(client)
                client.DeactivateNode(DeactivateNodeRequest(node_id=client.ActivateNode(request).node_id))
        except (httpx.HTTPStatusError, httpx.TransportError) as error:
            raise FederationError(f"the coordinator {self.address} {words(error)}") from None
        except ValueError:
            raise FederationError(f"the coordinator {self.address} does not answer as a SuperLink does") from None

    def _leave(self, client: FleetHttpClient) -> None:
        """Leave, where this node was killed before it could: else it is not let in again for a minute."""
        with contextlib.suppress(OSError, ValueError, httpx.HTTPStatusError):
            client.DeactivateNode(DeactivateNodeRequest(node_id=int(self.number.read_text())))

    def remember(self, number: int) -> None:
        """Keep the number by which Flower knows this site, for the case that the node is killed."""
        with contextlib.suppress(OSError):  # a full disk: then it takes a minute longer
            atomic.write(self.number, str(number))


def _read(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; {hint}") from None


def words(error: httpx.HTTPStatusError | httpx.TransportError) -> str:
    """What the coordinator does or lacks, to go on "the coordinator" with."""
    if isinstance(error, httpx.HTTPStatusError):
        return _refusal(error.response.status_code)
    return _fault(str(error))


def _refusal(status: int) -> str:
    if status == NOT_TAKEN:
        return "does not take this site's key: it is not registered there, was revoked, or is in use by another process"
    if status == httpx.codes.UNAUTHORIZED:
        seconds = TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE
        return f"does not take this site's signature: do the clocks differ by more than {seconds} s?"
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return "gets too many requests"
    if 300 <= status < 400:
        return f"sends this site on to another address (HTTP {status}), where it does not go"
    return f"answers with HTTP {status}, which no SuperLink behind its proxy does"


def _fault(text: str) -> str:
    low = text.lower()
    if "certificate has expired" in low or "not yet valid" in low:
        return "has a certificate that has expired or is not valid yet: it must be renewed there"
    if "hostname mismatch" in low or "ip address mismatch" in low:
        return "has a certificate of another name"
    if "certificate verify failed" in low:
        return "has a certificate that this kit's authority (ca.crt) did not sign"
    if "timed out" in low:
        return "does not answer in time"
    if "ssl" in low or "tls" in low:
        return f"does not speak TLS as expected ({text})"
    return f"cannot be reached ({text})"
