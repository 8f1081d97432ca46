"""What Flower's processes are told by their environment: nothing is sent home, installed, or asked of a proxy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PROGRAMS = Path(sys.executable).parent  # Flower's own are there


def for_flower(home: Path) -> dict[str, str]:
    """Variables for this process, to be set before flwr, numpy and torch are imported.

    Args:
        home: Flower's folder.
    """
    return {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "OMP_NUM_THREADS": "1",
    }


def for_programs(home: Path) -> dict[str, str]:
    """The whole environment of one of Flower's programs, whose own processes find the others in ``PROGRAMS``.

    They talk to each other on this machine, and to nobody else.
    """
    path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"
    inherited = {name: value for name, value in os.environ.items() if not _names_proxy(name)}
    return {**inherited, **for_flower(home), "PATH": path}


def drop_proxies() -> None:
    """Let this process ask no proxy from now on: what it talks to is beside it.

    To exempt a host is not enough: programs differ in which of ``no_proxy`` and ``NO_PROXY`` they read, and a proxy of
    a kind that they do not know ends them whomever they talk to.
    """
    for name in filter(_names_proxy, list(os.environ)):
        del os.environ[name]


def _names_proxy(variable: str) -> bool:
    return variable.lower().endswith("_proxy")
