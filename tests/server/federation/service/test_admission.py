from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.errors import FederationError, FedserError
from common.storage import atomic
from server.federation.folder import registry
from server.federation.folder.registry import LinkedNode, RegisteredSite
from server.federation.service import status
from server.federation.service.admission import Doorkeeper
from tests.server.federation import coordinator


class Control:
    """A SuperLink's control interface that keeps its nodes in a dict; Flower takes each key once."""

    def __init__(self) -> None:
        self.let_in: dict[int, LinkedNode] = {}
        self.taken: list[str] = []
        self.up = True

    def nodes(self) -> dict[int, LinkedNode]:
        if not self.up:
            raise ConnectionError
        return dict(self.let_in)

    def register(self, name: str, key: str) -> int:
        if key in self.taken:
            raise FederationError(f"Flower refuses {name}'s key: Public key already in use.")
        self.taken.append(key)
        self.let_in[len(self.taken)] = LinkedNode(key=key, online=True, seen=datetime.now(UTC))
        return len(self.taken)

    def unregister(self, node: int) -> None:
        del self.let_in[node]


def test_the_registry_is_carried_out(tmp_path: Path) -> None:
    folder = coordinator.make(tmp_path)
    control, said = Control(), list[str]()
    keeper = Doorkeeper(folder, control, said.append)
    registry.write(folder.registry, {"alpha": RegisteredSite(public_key="t a"), "beta": RegisteredSite()})
    keeper.look()
    assert said == ["the site alpha is let in as node 1"]
    assert coordinator.status(folder)["sites"]["alpha"]["node_id"] == "1"
    assert coordinator.status(folder)["sites"]["alpha"]["online"]
    keeper.look()
    assert len(said) == 1
    registry.write(
        folder.registry, {"alpha": RegisteredSite(public_key="t a2", former=("t a",)), "beta": RegisteredSite()}
    )
    keeper.look()
    assert said[1:] == ["the key of node 1 is shut out", "the site alpha is let in as node 2"]
    registry.write(folder.registry, {"alpha": RegisteredSite(public_key="t a2", revoked=True)})
    keeper.look()
    assert control.let_in == {}
    assert coordinator.status(folder)["sites"]["alpha"]["node_id"] is None


def test_trouble_is_said_once_and_the_rest_goes_on(tmp_path: Path) -> None:
    folder = coordinator.make(tmp_path)
    control, said = Control(), list[str]()
    control.taken = ["t a"]
    keeper = Doorkeeper(folder, control, said.append)
    registry.write(
        folder.registry, {"alpha": RegisteredSite(public_key="t a"), "beta": RegisteredSite(public_key="t b")}
    )
    keeper.look()
    keeper.look()
    assert said == [
        "warning: Flower refuses alpha's key: Public key already in use.",
        "the site beta is let in as node 2",
    ]
    folder.registry.write_text('{"alpha": {')
    keeper.look()
    keeper.look()
    assert len(said) == 3
    assert "the sites stay as they were" in said[2]
    assert coordinator.status(folder)["sites"]["beta"]["node_id"] == "2"


def test_without_a_superlink_nobody_is_online(tmp_path: Path) -> None:
    folder = coordinator.make(tmp_path)
    registry.write(folder.registry, {"alpha": RegisteredSite(public_key="t a")})
    control = Control()
    keeper = Doorkeeper(folder, control, print)
    keeper.look()
    seen = coordinator.status(folder)["sites"]["alpha"]["last_seen"]
    control.up = False
    keeper.look()
    told = coordinator.status(folder)
    assert told["superlink"] == "down"
    assert told["sites"]["alpha"] | {"node_id": None} == {
        "registered": True,
        "revoked": False,
        "node_id": None,
        "online": False,
        "last_seen": seen,
        "recordings": None,
        "speakers": None,
    }
    keeper.leave()
    assert status.read(folder, datetime.now(UTC))["superlink"] == "down"


def test_a_full_disk_shuts_no_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = coordinator.make(tmp_path)
    control, said = Control(), list[str]()
    keeper = Doorkeeper(folder, control, said.append)
    registry.write(folder.registry, {"alpha": RegisteredSite(public_key="t a")})

    def full(path: Path, content: object, **_: object) -> None:
        raise FedserError(f"{path} cannot be written: No space left on device; free space there")

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "write", full)
        keeper.look()
        keeper.look()
        keeper.leave()
    assert control.let_in[1].key == "t a"
    line = f"warning: {folder.status} cannot be written: No space left on device; free space there"
    assert said == ["the site alpha is let in as node 1", line]
    keeper.look()
    assert coordinator.status(folder)["sites"]["alpha"]["online"]
