"""How many live streams one core serves: a service in a process of its own, and its load in another."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import FedserError
from simulations.hearing.pinned_process import ask, command, cores, most_memory

GOAL_MS = 100.0  # of the 99th percentile
WINDOW, HOP = 0.5, 0.1  # seconds
CHUNK = 0.03  # seconds of sound a message: as telephones send it
COUNTS = (5, 10, 20, 35, 50, 65, 75, 85, 100, 120, 150, 200)
_FIRST = 100  # of these, which is tried first
_PATIENCE = 30.0  # seconds that a service has to go down

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
    with _service(model, streams) as (process, port):
        before = _cpu_seconds(process)
        own: Try = ask(cores()[1], "simulations.hearing.stream_load", "load", {**asked, "port": port})
        own["service_cpu"] = round((_cpu_seconds(process) - before) / (seconds + 1), 2)
        own["rss_mb"] = round(most_memory(Path(f"/proc/{process.pid}/status").read_text()), 1)
    tell(f"{streams} streams: p99 {own['p99']:.0f} ms, {own['lost']} lost, {own['service_cpu']:.0%} of the core")
    return own


def _cpu_seconds(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _service(model: Path, streams: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """``fedser serve`` on the first core, and its port."""
    line = command(
        cores()[0],
        "serve",
        "--model",
        str(model),
        "--port",
        "0",
        "--grpc-port",
        "0",
        "--max-streams",
        str(streams),
    )
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, _port(process)
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _port(process: subprocess.Popen[str]) -> int:
    said = ""
    for line in process.stderr or ():
        said = line
        if found := re.search(r"port (\d+) \(gRPC", line):
            return int(found[1])
    raise FedserError(f"fedser serve did not begin: {said.strip()}")
