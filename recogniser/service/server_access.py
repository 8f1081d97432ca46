"""Who may speak with a service, and where it listens: TLS, client certificates, a token; never bare to a network."""

from __future__ import annotations

import hmac
import os
import ssl
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc

from common.deployment.loopback import LOOPBACK, on_this_machine
from common.errors import UsageError

_SHORTEST = 16  # characters of a token
_OPEN = "/grpc.health.v1.Health/"  # what runs the service asks how it is, and has no token


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where a service listens, and what it asks of who comes.

    Attributes:
        host: address or name.
        port: 0 for any that is free.
        certificate: for TLS, PEM; None for none.
        key: its private key, PEM.
        client_ca: PEM of the authorities whose certificates clients must have; None for anybody's.
        token: that clients must have; None for none.
        behind_proxy: whether TLS ends before it.

    Raises:
        UsageError: a network would reach it without TLS, or with nothing asked of who comes.
    """

    host: str = LOOPBACK
    port: int = 0
    certificate: bytes | None = None
    key: bytes | None = None
    client_ca: bytes | None = None
    token: str | None = None
    behind_proxy: bool = False

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError("--tls-cert and --tls-key go together: give both or neither")
        if self.client_ca and not self.certificate:
            raise UsageError("--client-ca needs TLS: give --tls-cert and --tls-key too")
        if on_this_machine(self.address) and not self.behind_proxy:
            return
        if not (self.certificate or self.behind_proxy):
            raise UsageError(
                f"--host {self.host} is reached from a network, and sound would pass it bare: give --tls-cert and "
                "--tls-key, or --behind-proxy where TLS ends before it"
            )
        if not (self.token or self.client_ca):
            raise UsageError(f"--host {self.host}: anybody could use it; give --token-file, or --client-ca with TLS")

    @property
    def address(self) -> str:
        """``host:port``."""
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return f"{host}:{self.port}"

    def credentials(self) -> Any:
        """For TLS, which gRPC speaks from 1.2 on; None without."""
        if self.certificate is None:
            return None
        pair = [(self.key, self.certificate)]
        return grpc.ssl_server_credentials(pair, self.client_ca, require_client_auth=self.client_ca is not None)

    def context(self) -> ssl.SSLContext:
        """For TLS from 1.2 on, as Python's servers take it: of a service that has a certificate."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        with TemporaryDirectory() as folder:  # of mode 700: OpenSSL reads a pair from files alone
            certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
            certificate.write_bytes(self.certificate or b"")
            key.write_bytes(self.key or b"")
            made.load_cert_chain(certificate, key, password="")
        if self.client_ca:
            made.load_verify_locations(cadata=self.client_ca.decode("ascii", "ignore"))
            made.verify_mode = ssl.CERT_REQUIRED
        return made

    def lets_in(self, found: str | bytes) -> bool:
        """Whether that is ``Bearer TOKEN``, where one is asked for."""
        given = found.encode() if isinstance(found, str) else found
        return self.token is None or hmac.compare_digest(given, f"Bearer {self.token}".encode())

    def interceptors(self, refused: Callable[[str], None]) -> list[TokenCheck]:
        """What looks at each call before it is served, and tells whom it refused."""
        return [TokenCheck(self, refused)] if self.token else []


class TokenCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Serves calls with ``authorization: Bearer TOKEN`` alone, but for questions about the service's health.

    Args:
        access: that asks for it.
        refused: called with the status of each call that is not served.
    """

    def __init__(self, access: Access, refused: Callable[[str], None]) -> None:
        self._access, self._refused = access, refused

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], call: Any) -> Any:
        """Serve or refuse a call."""
        given = [value for name, value in call.invocation_metadata if name == "authorization"]
        if call.method.startswith(_OPEN) or self._access.lets_in(given[0] if given else ""):
            return await continuation(call)
        self._refused("UNAUTHENTICATED")
        return grpc.stream_stream_rpc_method_handler(_refuse)


async def _refuse(_: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "expected the metadata authorization: Bearer TOKEN")


def read_token(path: Path) -> str:
    """A token from a file that nobody else may read.

    Raises:
        UsageError: it cannot be read, others may, or it is too short.
    """
    try:
        with path.open(encoding="ascii") as file:
            mode, token = stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        said = (getattr(error, "strerror", None) or "no ASCII").lower()
        raise UsageError(f"--token-file {path} cannot be read: {said}") from None
    if mode & 0o077:
        raise UsageError(f"--token-file {path} has mode {mode:o}, so that others may read it: chmod 600 {path}")
    if len(token) < _SHORTEST or not token.isprintable():
        raise UsageError(f"--token-file {path}: expected {_SHORTEST} printable characters or more in one line")
    return token


def read_pair(certificate: Path | None, key: Path | None) -> tuple[bytes | None, bytes | None]:
    """A service's certificate and its key; None where none was named.

    Raises:
        UsageError: one cannot be read, or they don't belong together.
    """
    read = read_pem(certificate, "--tls-cert"), read_pem(key, "--tls-key")
    if certificate and key:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        except (ssl.SSLError, ValueError):
            raise UsageError(
                f"--tls-cert {certificate} and --tls-key {key}: no certificate with its own key, without a password"
            ) from None
    return read


def read_pem(path: Path | None, flag: str) -> bytes | None:
    """A certificate or key; None where none was named.

    Raises:
        UsageError: it cannot be read, or is no PEM.
    """
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{flag} {path} cannot be read: {(error.strerror or 'error').lower()}") from None
    if b"-----BEGIN " not in content:
        raise UsageError(f"{flag} {path} is no PEM file: expected a line -----BEGIN")
    return content
