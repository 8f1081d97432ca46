"""Who comes in: the registry carried out at the SuperLink, and what is seen there written down."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Protocol

from common.errors import FederationError, FedserError
from common.processes.supervised import Say
from server.federation.folder import registry
from server.federation.folder.coordinator_folder import Folder
from server.federation.service import status


class Door(Protocol):
    """What lets keys in and shuts them out: ``superlink.Control``."""

    def nodes(self) -> dict[int, registry.LinkedNode]:
        """Those that it lets in, by number."""

    def register(self, name: str, key: str) -> int:
        """Let a site's key in; its number."""

    def unregister(self, node: int) -> None:
        """Shut a node out."""


class Doorkeeper:
    """Carries out the registry at the SuperLink, and writes down what it sees.

    Args:
        folder: the coordinator's.
        control: the SuperLink's.
        say: is told in a line what happens, once.
    """

    def __init__(self, folder: Folder, control: Door, say: Say) -> None:
        self._folder = folder
        self._control = control
        self._say = say
        self._nodes: dict[int, registry.LinkedNode] = {}
        self._sites: registry.Registry = {}
        self._status = status.last(folder)
        self._said: set[str] = set()

    def look(self) -> None:
        """Read the registry, carry it out, write the status."""
        try:
            self._sites = registry.read(self._folder.registry)
        except FederationError as error:  # perhaps being written just now
            self._say_once(f"warning: {error}; the sites stay as they were")
        try:
            self._nodes = self._control.nodes()
            if self._carry_out():
                self._nodes = self._control.nodes()
            self._write(up=True)
        except ConnectionError:
            self._write(up=False)

    def leave(self) -> None:
        """Write down that the server ended."""
        self._write(up=False)

    def _carry_out(self) -> bool:
        changes = registry.changes(self._sites, self._nodes)
        for number in changes.unregister:
            self._control.unregister(number)
            self._say(f"the key of node {number} is shut out")
        for name, key in changes.register.items():
            try:
                self._say(f"the site {name} is let in as node {self._control.register(name, key)}")
            except FederationError as error:
                self._say_once(f"warning: {error}")
        return bool(changes.unregister or changes.register)

    def _write(self, *, up: bool) -> None:
        nodes = self._nodes if up else {n: dataclasses.replace(node, online=False) for n, node in self._nodes.items()}
        self._status = status.snapshot(self._sites, nodes, self._status["sites"], up=up, now=datetime.now(UTC))
        try:
            status.write(self._folder, self._status)
        except FedserError as error:  # a full disk must not shut the door
            self._say_once(f"warning: {error}")

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)
