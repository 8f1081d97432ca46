"""A site as plain processes: the node and the trainer under one supervisor, on a machine without containers.

The two share a user here, so the trainer could read the node's key and policy: only containers keep them apart.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from client.node.site import log_lines
from client.node.site.node_settings import SUPERVISED, Address, NodeSettings
from common.deployment.loopback import LOOPBACK, free_port
from common.errors import UsageError
from common.processes import supervised
from common.processes.supervised import Child, Pauses

log = logging.getLogger("fedser.site")

END_SECONDS = 10.0  # for a process to end by itself, once told
PAUSES = Pauses(first=1.0, longest=60.0, steady=120.0)


def run(settings: NodeSettings) -> None:
    """Run both processes until this one is told to end; they end with it, even if it is killed.

    Raises:
        SystemExit: one of them ended for a mistake of the user's, and has said which.
    """
    log_lines.begin("site")
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    environment = {**os.environ, SUPERVISED: "1"}
    children = [
        Child(name, command, environment, log.warning, pauses=PAUSES, final=UsageError.exit_code)
        for name, command in commands(settings).items()
    ]
    try:
        while not told.is_set():
            for child in children:
                child.tend()
            told.wait(0.5)
    finally:
        log.info("ending")
        supervised.end(children, END_SECONDS)


def commands(settings: NodeSettings) -> dict[str, list[str]]:
    """What the two containers run, too."""
    listen = settings.listen or Address(host=LOOPBACK, port=free_port())
    fedser = [sys.executable, "-P", "-m", "common.cli.main", "site"]  # -P: not what lies in the working folder
    state = ["--state", str(settings.state.folder.absolute())]
    node = [*fedser, "node", "--kit", str(settings.kit), *state, "--listen", str(listen), "--data", settings.data]
    node += ["--corpus", settings.corpus] if settings.corpus else []
    node += ["--label-map", settings.label_map] if settings.label_map else []
    return {"node": node, "trainer": [*fedser, "trainer", "--node", str(listen), *state]}
