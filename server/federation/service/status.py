"""What the server knows of itself and of the sites: ``status.json``, written every two seconds and read by commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from rich.table import Table

from common.storage import atomic
from server.federation.folder import registry
from server.federation.folder.coordinator_folder import Folder
from server.reporting.formatting import ago

STALE = timedelta(seconds=20)


class SiteStatus(TypedDict):
    """A site, as ``status.json`` has it.

    ``registered``: the coordinator has its key and did not revoke it; ``node_id``: the SuperLink's number for it, once
    it lets the key in; ``last_seen``: in ISO 8601, UTC; ``recordings`` and ``speakers``: that it is agreed to hold,
    null where nothing is.
    """

    registered: bool
    revoked: bool
    node_id: str | None
    online: bool
    last_seen: str | None
    recordings: int | None
    speakers: int | None


class Status(TypedDict):
    """The server and its sites by name; ``superlink`` is up or down."""

    time: str
    superlink: str
    sites: dict[str, SiteStatus]


def snapshot(
    sites: registry.Registry,
    nodes: Mapping[int, registry.LinkedNode],
    before: Mapping[str, SiteStatus],
    *,
    up: bool,
    now: datetime,
) -> Status:
    """What is known now.

    Args:
        sites: the registry.
        nodes: those that the SuperLink lets in, or did when it last answered.
        before: the last snapshot's sites, which remember when one that is offline was seen.
        up: whether the SuperLink answers.
        now: the time.
    """
    by_key = {node.key: (number, node) for number, node in nodes.items()}
    found = {}
    for name, site in sorted(sites.items()):
        number, node = by_key.get(site.public_key or "", (None, None))
        online = up and node is not None and node.online
        seen = node.seen.isoformat(timespec="seconds") if node and node.seen else None
        known = before[name]["last_seen"] if name in before else None
        found[name] = SiteStatus(
            registered=site.admitted,
            revoked=site.revoked,
            node_id=None if number is None else str(number),
            online=online,
            last_seen=seen if online else known or seen,
            recordings=site.recordings,
            speakers=site.speakers,
        )
    return Status(time=now.isoformat(timespec="seconds"), superlink="up" if up else "down", sites=found)


def write(folder: Folder, status: Status) -> None:
    """Write ``status.json``."""
    atomic.write(folder.status, json.dumps(status, indent=2) + "\n")


def last(folder: Folder) -> Status:
    """What the server last wrote; of a server that never ran, nothing."""
    try:
        found: Any = json.loads(folder.status.read_text(encoding="utf-8"))
        datetime.fromisoformat(found["time"])
        return Status(time=found["time"], superlink=found["superlink"], sites=found["sites"])
    except (OSError, ValueError, KeyError, TypeError):
        return Status(time=datetime.min.replace(tzinfo=UTC).isoformat(), superlink="down", sites={})


def read(folder: Folder, now: datetime) -> Status:
    """The server and all sites of the registry as of now: where the server no longer writes, all is down."""
    told = last(folder)
    up = told["superlink"] == "up" and now - datetime.fromisoformat(told["time"]) < STALE
    nobody: dict[str, Any] = {"node_id": None, "online": False, "last_seen": None}
    sites = {}
    for name, site in sorted(registry.read(folder.registry).items()):
        known: Any = told["sites"].get(name, nobody)
        sites[name] = SiteStatus(
            registered=site.admitted,
            revoked=site.revoked,
            node_id=known["node_id"],
            online=known["online"] and up and site.admitted,
            last_seen=known["last_seen"],
            recordings=site.recordings,
            speakers=site.speakers,
        )
    return Status(time=told["time"], superlink="up" if up else "down", sites=sites)


def table(status: Status, now: datetime) -> Table:
    """The sites for people: a line each."""
    columns = ("site", "key", "online", "last seen", "recordings", "speakers", "node")
    shown = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for name, site in status["sites"].items():
        key = "revoked" if site["revoked"] else "registered" if site["registered"] else "none yet"
        seen = datetime.fromisoformat(site["last_seen"]) if site["last_seen"] else None
        agreed = (str(site["recordings"] or ""), str(site["speakers"] or ""))
        shown.add_row(name, key, "yes" if site["online"] else "no", ago(seen, now), *agreed, site["node_id"] or "")
    return shown
