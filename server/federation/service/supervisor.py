"""The coordinator's server: SuperLink and proxy kept running, the registry carried out, the status written."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from common.deployment.loopback import LOOPBACK, has_ipv6
from common.errors import FederationError
from common.processes import subreaper, supervised
from common.processes.supervised import Child, Output, Pauses, Say
from common.storage import atomic
from server.federation.folder import ca
from server.federation.folder.coordinator_folder import SETTINGS, Folder
from server.federation.service import proxy, superlink
from server.federation.service.admission import Doorkeeper

PERIOD = 2.0
START_SECONDS = 90.0
PAUSES = Pauses(first=0.0, longest=30.0, steady=60.0)
# Our own questions, every two or three seconds.
_ROUTINE = ("ControlServicer.ListNodes", "/v1/control/list-nodes", "ControlServicer.ListRuns", "/v1/control/list-runs")


Page = Callable[[Folder, str, int], contextlib.AbstractContextManager[object]]


def serve(folder: Folder, page: Page, *, listen: str, with_proxy: bool, stop: threading.Event, say: Say) -> None:
    """Run the coordinator's server until it is told to stop.

    Args:
        folder: the coordinator's.
        page: serves the admin page at a host and a port while its context lasts.
        listen: the address of the SuperLink and of the admin page; only this machine's people may reach it.
        with_proxy: run nginx too.
        stop: set from elsewhere.
        say: is told in a line what happens.

    Raises:
        FederationError: a certificate has expired, a port is in use, a program is missing or does not start.
    """
    ca.refuse_expired(folder, datetime.now(UTC))
    for warning in ca.warnings(folder, datetime.now(UTC)):
        say(f"warning: {warning}")
    _check_ports(folder, listen, with_proxy=with_proxy)
    if with_proxy:
        proxy.program()
    with contextlib.ExitStack() as stack:
        link = _start_superlink(folder, listen, say, stack)
        control = stack.enter_context(contextlib.closing(superlink.Control(folder)))
        _await(link, lambda: _answers(control), stop)
        children = [link]
        if with_proxy:
            children.append(_start_proxy(folder, say, stack))
            _await(children[1], lambda: _listens(folder.port), stop)
        stack.enter_context(page(folder, listen, folder.admin_port))
        say(f"sites reach it at {folder.address}" if with_proxy else f"the SuperLink is up at {folder.superlink}")
        keeper = Doorkeeper(folder, control, say)
        stack.callback(keeper.leave)
        while not stop.is_set():
            for child in children:
                child.tend()
            keeper.look()
            stop.wait(PERIOD)


def _start_superlink(folder: Folder, listen: str, say: Say, stack: contextlib.ExitStack) -> Child:
    (folder.state / "flwr").mkdir(parents=True, exist_ok=True)
    command, environment = superlink.command(folder, listen), superlink.environment(folder)
    return _start("SuperLink", command, environment, say, stack, hidden=_ROUTINE)


def _start_proxy(folder: Folder, say: Say, stack: contextlib.ExitStack) -> Child:
    place = proxy.here(folder)
    place.scratch.mkdir(exist_ok=True)
    settings = place.scratch / "nginx.conf"
    atomic.write(settings, proxy.configuration(place))
    return _start("proxy", proxy.command(settings), os.environ, say, stack)


def _start(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    say: Say,
    stack: contextlib.ExitStack,
    hidden: Sequence[str] = (),
) -> Child:
    """Start a program under a guard; it ends with the stack."""
    child = Child(name, subreaper.command(*command), environment, say, pauses=PAUSES, output=Output(hidden))
    stack.callback(supervised.end, [child])
    child.tend()
    return child


def _await(child: Child, ready: Callable[[], bool], stop: threading.Event) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not stop.is_set() and not ready():
        if not child.running or time.monotonic() > deadline:
            raise FederationError(f"the {child.name} did not start: {child.last_line}")
        stop.wait(0.2)


def _answers(control: superlink.Control) -> bool:
    try:
        control.nodes()
    except ConnectionError:
        return False
    return True


def _listens(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def _check_ports(folder: Folder, listen: str, *, with_proxy: bool) -> None:
    wanted = [(listen, folder.superlink_port), (listen, folder.admin_port)]
    if with_proxy:
        wanted += [(host, folder.port) for host in ("0.0.0.0", *(["::"] if has_ipv6() else []))]  # noqa: S104 - for sites
    for host, port in wanted:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            socket.create_server((host, port), family=family).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise FederationError(f"nothing can listen at {host}, port {port}: {error.strerror}") from None
            raise FederationError(
                f"port {port} is in use; end the program that uses it (perhaps another fedser server), or set another "
                f"port in {folder.root / SETTINGS}"
            ) from None
