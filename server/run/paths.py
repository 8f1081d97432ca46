"""Where a run's files lie: a deployed run names them relative to the coordinator's folder.

``fedser federation run`` may work on the host and the ServerApp in a container, where that folder is another; so what
lies inside it is named relative to it, and ``FEDSER_HOME`` says to each where it is. A simulation names whole paths.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.config.settings import Config, flatten
from common.splits.plan import Plan

HOME = "FEDSER_HOME"
STATUS = Path("state/status.json")
_PATHS = ("data.root", "data.label_map", "data.public", "federation.initial")


def place(run_config: Mapping[str, object], name: str) -> Path:
    """A path of the run config, as this machine has it."""
    return home() / str(run_config[name])


def home() -> Path:
    """The coordinator's folder."""
    return Path(os.environ.get(HOME, "."))


def located(config: Config) -> Config:
    """The settings with this machine's paths to the held-out recordings, their label map and the models."""
    paths = {name: str(flatten(config)[name]) for name in _PATHS}
    return config.with_values({name: str(home() / path) for name, path in paths.items() if path})


def located_plan(plan: Plan) -> Plan:
    """The plan with this machine's names of the recordings that can't be used."""
    return dataclasses.replace(plan, skipped=tuple(str(home() / name) for name in plan.skipped))


def read_node_names() -> dict[int, str]:
    """Read, by Flower's number of a node, the name of the site whose key it has, as ``fedser server`` wrote it down."""
    return {int(site["node_id"]): name for name, site in _sites().items() if site["node_id"] is not None}


def read_agreements() -> dict[str, tuple[int, int]]:
    """Read, by site, how many recordings and speakers it is agreed to hold; without those that nothing is agreed with.

    ``fedser server`` takes them from the registry.
    """
    told = {name: (site.get("recordings"), site.get("speakers")) for name, site in _sites().items()}
    return {name: (int(held[0]), int(held[1])) for name, held in told.items() if None not in held}


def _sites() -> dict[str, Any]:
    sites: dict[str, Any] = json.loads((home() / STATUS).read_text(encoding="utf-8"))["sites"]
    return sites
