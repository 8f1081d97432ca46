"""How many live streams one core serves: a service in a process of its own, and its load in another."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simulations.hearing.pinned_process import ask, cores, most_memory
from simulations.hearing.served_model import serving

GOAL_MS = 100.0  # of the 99th percentile
WINDOW, HOP = 0.5, 0.1  # seconds
CHUNK = 0.03  # seconds of sound a message: as telephones send it
COUNTS = (5, 10, 20, 35, 50, 65, 75, 85, 100, 120, 150, 200)
_FIRST = 100  # of these, which is tried first

Try = dict[str, Any]


def most_streams(
    model: Path, seconds: float, tell: Callable[[str], None], counts: Sequence[int] = COUNTS
) -> dict[str, Any]:
    """Find the largest of some numbers of streams of which none loses anything, and 99 % of windows come in time.

    Args:
        model: an export's folder.
        seconds: of sound a stream, a try.
        tell: of each try.
        counts: numbers of streams, ascending; from the one nearest to 100 on, up or down.

    Returns:
        ``count``, 0 where even the fewest are too many, its ``p99_ms`` and ``lost`` (then of the fewest), and
        ``tried``, by the number of streams.
    """
    first = min(counts, key=lambda count: abs(count - _FIRST))
    tried = {first: _try(model, first, seconds, tell)}
    good = _is_good(tried[first])
    further = [count for count in counts if count > first] if good else [own for own in counts[::-1] if own < first]
    for count in further:
        tried[count] = _try(model, count, seconds, tell)
        if _is_good(tried[count]) != good:
            break
    best = max((count for count, own in tried.items() if _is_good(own)), default=0)
    shown = tried[best or min(tried)]
    told = {str(count): own for count, own in sorted(tried.items())}
    return {"count": best, "p99_ms": shown["p99"], "lost": shown["lost"], "chunk_s": CHUNK, "tried": told}


def _is_good(own: Try) -> bool:
    return bool(own["events"] and own["p99"] <= GOAL_MS and not own["lost"])


def _try(model: Path, streams: int, seconds: float, tell: Callable[[str], None]) -> Try:
    """What ``load`` tells, and the service's memory and share of its core."""
    asked = {"model": str(model), "streams": streams, "seconds": seconds, "window": WINDOW, "hop": HOP, "chunk": CHUNK}
    with serving(model, "--max-streams", str(streams)) as service:
        before = _cpu_seconds(service.pid)
        own: Try = ask(cores()[1], "simulations.hearing.stream_load", "load", {**asked, "port": service.port})
        own["service_cpu"] = round((_cpu_seconds(service.pid) - before) / (seconds + 1), 2)
        own["rss_mb"] = round(most_memory(service.status()), 1)
    tell(f"{streams} streams: p99 {own['p99']:.0f} ms, {own['lost']} lost, {own['service_cpu']:.0%} of the core")
    return own


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
