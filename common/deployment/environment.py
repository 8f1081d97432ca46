"""What Flower's processes are told by their environment: nothing is sent home, and nothing is installed."""

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
    """The whole environment of one of Flower's programs, whose own processes find the others in ``PROGRAMS``."""
    path = f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, **for_flower(home), "PATH": path}
