"""A site as plain processes: the node and the trainer under one supervisor, on a machine without containers.

The two share a user here, so the trainer could read the node's key and policy: only containers keep them apart.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from client.node.site import log_lines
from client.node.site.node_settings import HOST, SECRET, SUPERVISED, Address, NodeSettings
from common.errors import UsageError

log = logging.getLogger("fedser.site")

END_SECONDS = 10.0  # for a process to end by itself, once told
LONGEST_WAIT = 60.0  # seconds until a process that ended is started again; the first time one second
STEADY_SECONDS = 120.0  # a process that ran for longer is started again at once


class WrongUsage(SystemExit):
    """A process ended for a mistake of the user's, and has said which."""

    def __init__(self) -> None:
        super().__init__(UsageError.exit_code)


@dataclass
class Child:
    """One of the two processes, and when it may be started again.

    Attributes:
        name: for the log.
        command: its command line.
        process: the running one.
        started: ``time.monotonic`` when it was.
        due: when it may be started again.
        wait: seconds until then, next time.
    """

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = 0.0
    wait: float = 1.0

    def look(self, environment: Mapping[str, str]) -> None:
        """Start the process where it does not run and is due.

        Raises:
            WrongUsage: it ended for a mistake of the user's, which would be there the next time too.
        """
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            if self.process.returncode == UsageError.exit_code:
                raise WrongUsage
            if now - self.started > STEADY_SECONDS:
                self.wait = 1.0
            log.warning("the %s ended (%s); starting it again in %.0f s", self.name, self._how(), self.wait)
            self.process, self.due, self.wait = None, now + self.wait, min(2 * self.wait, LONGEST_WAIT)
        if self.process is None and now >= self.due:
            self.process = subprocess.Popen(
                self.command, env=dict(environment), stdin=subprocess.DEVNULL, start_new_session=True
            )
            self.started = now

    def _how(self) -> str:
        code = self.process.returncode if self.process else 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def tell_to_end(self) -> None:
        """Let it end by itself."""
        if self.process is not None:
            self.process.terminate()

    def end(self, deadline: float) -> None:
        """Wait for its end, and kill it where it takes too long."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - time.monotonic()))
        self.process.kill()
        self.process.wait()


def run(settings: NodeSettings) -> None:
    """Run both processes until this one is told to end; they end with it, even if it is killed."""
    log_lines.begin("site")
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    environment = {**os.environ, SUPERVISED: "1", SECRET: secrets.token_hex(32)}
    children = [Child(name, command) for name, command in commands(settings).items()]
    try:
        while not told.is_set():
            for child in children:
                child.look(environment)
            told.wait(0.5)
    finally:
        log.info("ending")
        deadline = time.monotonic() + END_SECONDS
        for child in children:
            child.tell_to_end()
        for child in children:
            child.end(deadline)


def commands(settings: NodeSettings) -> dict[str, list[str]]:
    """What the two containers run, too."""
    listen = settings.listen or Address(host=HOST, port=_free_port())
    fedser = [sys.executable, "-P", "-m", "common.cli.main", "site"]  # -P: not what lies in the working folder
    state = ["--state", str(settings.state.folder.absolute())]
    node = [*fedser, "node", "--kit", str(settings.kit), *state, "--listen", str(listen), "--data", settings.data]
    node += ["--corpus", settings.corpus] if settings.corpus else []
    node += ["--label-map", settings.label_map] if settings.label_map else []
    return {"node": node, "trainer": [*fedser, "trainer", "--node", str(listen), *state]}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port
