"""How many cores this process may use, which in a container or a batch job is fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores(root: Path = _ROOT, own: Path = _OWN) -> int:
    """The cores that the scheduler gives this process and its group's quota pays for, at least one.

    Args:
        root: where control groups are mounted.
        own: the file that names this process's groups.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *(max(1, math.ceil(quota)) for quota in _quotas(root, own))]))


def _quotas(root: Path, own: Path) -> Iterator[float]:
    """The cores that each group above this process allows it: of version 2 and of version 1."""
    for line in _read(own).splitlines():
        _, controllers, place = (*line.split(":", 2), "", "")[:3]
        if controllers == "":
            yield from _above(root, place, _version_2)
        elif "cpu" in controllers.split(","):
            for mounted in ("cpu", controllers):
                yield from _above(root / mounted, place, _version_1)


def _above(root: Path, place: str, quota: Callable[[Path], float | None]) -> Iterator[float]:
    """Those of a group and of all above it; in a container the mount may show no more than its own."""
    group = root / place.strip("/")
    for folder in (group, *group.parents):
        if (found := quota(folder)) is not None:
            yield found
        if folder == root:
            return


def _version_2(folder: Path) -> float | None:
    share, _, period = _read(folder / "cpu.max").strip().partition(" ")
    return _cores(share, period)


def _version_1(folder: Path) -> float | None:
    return _cores(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))


def _cores(quota: str, period: str) -> float | None:
    try:
        share, whole = float(quota), float(period)
    except ValueError:  # "max", or there is no such file
        return None
    return share / whole if share > 0 and whole > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
