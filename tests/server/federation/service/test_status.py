from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from server.federation.folder import registry
from server.federation.folder.coordinator_folder import Folder
from server.federation.folder.registry import LinkedNode, RegisteredSite
from server.federation.service import status

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SEEN = NOW - timedelta(seconds=12)
SITES = {
    "alpha": RegisteredSite(public_key="t a"),
    "beta": RegisteredSite(public_key="t b", revoked=True),
    "gamma": RegisteredSite(),
}
NOTHING_AGREED = {"recordings": None, "speakers": None}
UNSEEN = {"node_id": None, "online": False, "last_seen": None, **NOTHING_AGREED}
NODES = {7: LinkedNode(key="t a", online=True, seen=SEEN)}


def test_a_snapshot_names_each_site_of_the_registry() -> None:
    found = status.snapshot(SITES, NODES, {}, up=True, now=NOW)
    assert found == {
        "time": "2026-11-21T12:00:00+00:00",
        "superlink": "up",
        "sites": {
            "alpha": {
                "registered": True,
                "revoked": False,
                "node_id": "7",
                "online": True,
                "last_seen": "2026-11-21T11:59:48+00:00",
                **NOTHING_AGREED,
            },
            "beta": {
                "registered": False,
                "revoked": True,
                "node_id": None,
                "online": False,
                "last_seen": None,
                **NOTHING_AGREED,
            },
            "gamma": {
                "registered": False,
                "revoked": False,
                "node_id": None,
                "online": False,
                "last_seen": None,
                **NOTHING_AGREED,
            },
        },
    }


def test_when_a_site_was_last_seen_is_remembered() -> None:
    first = status.snapshot(SITES, NODES, {}, up=True, now=NOW)
    overdue = {7: LinkedNode(key="t a", online=False, seen=NOW)}  # Flower says when it became overdue
    second = status.snapshot(SITES, overdue, first["sites"], up=True, now=NOW)
    assert second["sites"]["alpha"]["last_seen"] == SEEN.isoformat()
    assert not second["sites"]["alpha"]["online"]
    down = status.snapshot(SITES, NODES, first["sites"], up=False, now=NOW)
    assert down["superlink"] == "down"
    assert not down["sites"]["alpha"]["online"]


def test_what_a_dead_server_wrote_is_not_believed(tmp_path: Path) -> None:
    folder = Folder(root=tmp_path, host="fl.example.org")
    registry.write(folder.registry, SITES)
    assert status.read(folder, NOW)["superlink"] == "down"
    status.write(folder, status.snapshot(SITES, NODES, {}, up=True, now=NOW))
    assert status.read(folder, NOW + timedelta(seconds=19))["sites"]["alpha"]["online"]
    late = status.read(folder, NOW + timedelta(seconds=21))
    assert late["superlink"] == "down"
    assert not late["sites"]["alpha"]["online"]
    assert late["sites"]["alpha"]["last_seen"] == SEEN.isoformat()


def test_the_registry_has_the_last_word_on_who_there_is(tmp_path: Path) -> None:
    folder = Folder(root=tmp_path, host="fl.example.org")
    status.write(folder, status.snapshot(SITES, NODES, {}, up=True, now=NOW))
    registry.write(
        folder.registry,
        {"alpha": RegisteredSite(public_key="t a", revoked=True), "delta": RegisteredSite(public_key="t d")},
    )
    found = status.read(folder, NOW)["sites"]
    assert list(found) == ["alpha", "delta"]
    assert (found["alpha"]["registered"], found["alpha"]["revoked"], found["alpha"]["online"]) == (False, True, False)
    assert found["delta"]["registered"]


def test_a_torn_status_is_none(tmp_path: Path) -> None:
    folder = Folder(root=tmp_path, host="fl.example.org")
    folder.state.mkdir()
    folder.status.write_text('{"time": "2026')
    assert status.last(folder)["superlink"] == "down"


def test_the_table_for_people() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(status.table(status.snapshot(SITES, NODES, {}, up=True, now=NOW), NOW))
    lines = console.export_text().splitlines()
    assert lines[1].split() == ["alpha", "registered", "yes", "12", "s", "ago", "7"]
    assert lines[2].split() == ["beta", "revoked", "no", "never"]
    assert lines[3].split() == ["gamma", "none", "yet", "no", "never"]


def test_what_is_agreed_stands_in_the_status_and_in_the_table(tmp_path: Path) -> None:
    folder = Folder(root=tmp_path, host="fl.example.org")
    sites = {"alpha": RegisteredSite(public_key="t a", recordings=480, speakers=12)}
    registry.write(folder.registry, sites)
    status.write(folder, status.snapshot(sites, NODES, {}, up=True, now=NOW))
    for found in (status.last(folder), status.read(folder, NOW)):
        assert (found["sites"]["alpha"]["recordings"], found["sites"]["alpha"]["speakers"]) == (480, 12)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(status.table(status.read(folder, NOW), NOW))
    assert console.export_text().splitlines()[1].split()[-3:] == ["480", "12", "7"]
