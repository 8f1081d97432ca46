"""A coordinator's folder with three sites and a run, as the server and a run leave it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common.config.settings import Config, flatten
from server.federation.folder import registry
from server.federation.folder.coordinator_folder import Folder
from server.federation.folder.registry import RegisteredSite
from server.federation.runs.run_folder import RUNNING, RunFolder, RunStart, RunState
from server.federation.service import status
from server.federation.service.status import SiteStatus, Status

NOW = datetime(2026, 11, 21, 15, 30, 0, tzinfo=UTC)
SITES = ("charite", "lausanne", "st-mary")
CLASSES = "anger,happiness,neutral,sadness"


def folder(root: Path, *, online: Sequence[str] = SITES, up: bool = True, when: datetime = NOW) -> Folder:
    """A federation of ``SITES``, of which some are online."""
    made = Folder(root=root, host="fl.example.org")
    made.save()
    registry.write(made.registry, {name: RegisteredSite(public_key=f"ecdsa {name}") for name in SITES})
    sites = {}
    for name in SITES:
        seen = when if name in online else when - timedelta(minutes=12)
        sites[name] = SiteStatus(
            registered=True,
            revoked=False,
            node_id=str(SITES.index(name)),
            online=name in online,
            last_seen=seen.isoformat(),
            recordings=None,
            speakers=None,
        )
    status.write(made, Status(time=when.isoformat(), superlink="up" if up else "down", sites=sites))
    return made


def run(
    made: Folder, name: str = "run-1", *, state: RunState | None = None, settings: Mapping[str, Any] | None = None
) -> RunFolder:
    """A run that was started."""
    own = {"data.corpus": "manifest", "data.classes": CLASSES, "federation.rounds": 20, **(settings or {})}
    place = RunFolder(folder=made, name=name)
    place.write_start(
        RunStart(
            settings=flatten(Config().with_values(own)),
            command="fedser federation run --rounds 20",
            quorum=3,
            tested=40,
            problems=[],
            features_s=1.5,
        )
    )
    place.note(state or RunState(state=RUNNING, flower=7, seconds=60.0))
    return place


def entry(number: int, *, uar: float | None, sites: Sequence[str] = SITES, when: datetime = NOW, **of_site: Any) -> Any:
    """A round, as ``events.jsonl`` has it."""
    validation = None if uar is None else {"uar": uar, "wa": uar, "macro_f1": uar, "loss": 1.0}
    site = {"examples": 73, "loss": 0.9, "uar": uar, "seconds": 2.25, "bytes": 1_400_000} | of_site
    time = (when - timedelta(seconds=8)).timestamp()
    return {
        "fold": "held-out",
        "time": time,
        "round": number,
        "seconds": 12.5,
        "validation": validation,
        "sites": dict.fromkeys(sites, site),
    }


def rounds(place: RunFolder, entries: Sequence[Any]) -> None:
    """Write the rounds so far."""
    place.file("events.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
