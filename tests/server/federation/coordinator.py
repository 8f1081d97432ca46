"""A coordinator for tests: its folder with certificates and sites' keys on free ports, and its server as a process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.deployment.site_kit import openssh
from server.federation.folder import ca, registry
from server.federation.folder.coordinator_folder import Folder

START_SECONDS = 120.0


def make(root: Path, sites: Sequence[str] = (), host: str = "127.0.0.1") -> Folder:
    """A folder with an authority, the coordinator's certificate and a registry; a site's key is ``root/keys/NAME``."""
    port, admin_port, superlink_port = free_ports(3)
    folder = Folder(root=root, host=host, port=port, admin_port=admin_port, superlink_port=superlink_port)
    folder.save()
    ca.establish(folder, datetime.now(UTC))
    registry.write(folder.registry, {})
    for site in sites:
        register(folder, site, make_key(root / "keys" / site))
    return folder


def make_key(path: Path) -> str:
    """A site's key at ``path`` and ``path.pub``; what is returned is the public one, as the registry has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    path.write_bytes(private)
    path.chmod(0o600)
    path.with_name(f"{path.name}.pub").write_text(openssh(key.public_key()) + "\n")
    return openssh(key.public_key())


def register(folder: Folder, site: str, public_key: str) -> None:
    """Let a site's key in, as ``federation add-site`` does; a server that runs carries it out within two seconds."""
    registry.write(folder.registry, registry.with_key(registry.read(folder.registry), site, public_key))


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(probe.getsockname()[1]) for probe in probes]


@contextlib.contextmanager
def server(folder: Folder, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """``fedser server`` as a process; its output goes to ``server.log`` in the folder. Yields when it is up."""
    command = [str(Path(sys.executable).with_name("fedser")), "server", "--dir", str(folder.root), *options]
    log = folder.root / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        wait(lambda: status(folder).get("superlink") == "up", process, log)
        yield process
    finally:
        process.terminate()
        process.wait()


def status(folder: Folder) -> dict[str, Any]:
    """What the server last wrote; nothing before it did."""
    with contextlib.suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads(folder.status.read_text())
        return found
    return {}


def wait(
    ready: Any, process: subprocess.Popen[bytes] | None = None, log: Path | None = None, seconds: float = START_SECONDS
) -> None:
    """Wait until something is so, and fail with the log if that takes too long or the process ends before."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline or (process is not None and process.poll() is not None):
            raise AssertionError(f"not ready: {log.read_text() if log and log.exists() else ''}")
        time.sleep(0.1)
