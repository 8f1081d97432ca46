"""``fedser serve`` as a process of its own on the first core, as somebody would run it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.errors import FedserError
from simulations.hearing.pinned_process import command, cores

_PATIENCE = 30.0  # seconds that a service has to go down
_LISTENS = re.compile(r"port (\d+) \(gRPC.* and port (\d+) \(page")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A service that listens.

    Attributes:
        pid: of its process.
        port: of gRPC.
        web_port: of HTTP and WebSockets.
    """

    pid: int
    port: int
    web_port: int

    def status(self) -> str:
        """Its process's, as ``/proc`` has it."""
        return Path(f"/proc/{self.pid}/status").read_text()


@contextmanager
def serving(model: Path, *options: str) -> Iterator[Served]:
    """Serve within the block.

    Args:
        model: an export's folder.
        options: of ``fedser serve``, beside the model and the ports.

    Raises:
        FedserError: it does not begin.
    """
    line = command(cores()[0], "serve", "--model", str(model), "--port", "0", "--grpc-port", "0", *options)
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        try:
            port, web_port = _ports(process)
            yield Served(pid=process.pid, port=port, web_port=web_port)
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _ports(process: subprocess.Popen[str]) -> tuple[int, int]:
    said = ""
    for line in process.stderr or ():
        said = line
        if found := _LISTENS.search(line):
            return int(found[1]), int(found[2])
    raise FedserError(f"fedser serve did not begin: {said.strip()}")
