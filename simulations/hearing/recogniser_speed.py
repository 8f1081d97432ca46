"""The recogniser's figures on one core: a hop, live streams over gRPC, an hour and three of speech, and a start."""

from __future__ import annotations

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.progress import Display, Step
from simulations.hearing.live_streams import COUNTS, most_streams
from simulations.hearing.made_up_sound import write_talk
from simulations.hearing.pinned_process import ask, cores, timed
from simulations.hearing.untrained_model import write_model

HOPS = {"hop_0.1_ms": (0.5, 0.1), "hop_0.5_ms": (2.0, 0.5)}  # seconds of a window, and from one to the next
_SHORT = 3.0  # seconds of the file that a start is timed with
_HERE = "simulations.hearing"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured.

    Attributes:
        hop_seconds: of sound whose hops are timed.
        stream_seconds: of sound a stream, a try.
        counts: numbers of streams, ascending.
        hour: seconds of the long file; a third of the longest.
        starts: how often a start is timed.
        by_hand: hops that librosa and torch compute.
    """

    hop_seconds: float = 120.0
    stream_seconds: float = 12.0
    counts: Sequence[int] = COUNTS
    hour: float = 3600.0
    starts: int = 5
    by_hand: int = 150


def run(display: Display, sizes: Sizes | None = None) -> dict[str, Any]:
    """Measure all, each part in a process of its own on one core; some five minutes.

    Returns:
        JSON-ready, with the keys of ``fedser bench recogniser --json``.

    Raises:
        FedserError: a part failed.
    """
    sizes = sizes or Sizes()
    step = display.step("recogniser", 8)
    with tempfile.TemporaryDirectory(prefix="fedser-bench-") as name:
        measured = _Measured(Path(name), sizes, step)
        return {
            **measured.hops(),
            "streams": measured.streams(),
            **measured.hours(),
            "start": measured.start(),
            "baseline": measured.baseline(),
        }


class _Measured:
    """One run's model and sounds."""

    def __init__(self, folder: Path, sizes: Sizes, step: Step) -> None:
        self._folder, self._sizes, self._step = folder, sizes, step
        self._core = cores()[0]
        self._model = write_model(folder)
        self._talk, self._short = folder / "talk.wav", folder / "short.wav"
        write_talk(self._talk, sizes.hop_seconds)
        write_talk(self._short, _SHORT)
        self._done = 0
        self._tell("the model and the sounds are made")

    def _tell(self, said: str) -> None:
        self._done += 1
        self._step.update(self._done, said)

    def hops(self) -> dict[str, dict[str, float]]:
        found = {name: self._hop(*own) for name, own in HOPS.items()}
        self._tell("hops are timed: " + ", ".join(f"p99 {own['p99']:.1f} ms" for own in found.values()))
        return found

    def _hop(self, window: float, hop: float) -> dict[str, float]:
        given = {"model": str(self._model), "sound": str(self._talk), "window": window, "hop": hop}
        found: dict[str, float] = ask(self._core, f"{_HERE}.hop_times", "hop_times", given)
        return found

    def streams(self) -> dict[str, Any]:
        def tell(said: str) -> None:
            self._step.update(self._done, said)

        found = most_streams(self._model, self._sizes.stream_seconds, tell, self._sizes.counts)
        self._tell(f"{found['count']} streams, p99 {found['p99_ms']:.0f} ms")
        return found

    def hours(self) -> dict[str, Any]:
        seconds, memory = self._file(self._sizes.hour)
        self._tell(f"an hour: {seconds:.1f} s, {memory:.0f} MB")
        _, most = self._file(3 * self._sizes.hour)
        self._tell(f"three hours: {most:.0f} MB")
        hour = {"seconds": round(seconds, 2), "rss_mb": round(memory, 1)}
        return {"hour": hour, "three_hours_rss_mb": round(most, 1)}

    def _file(self, seconds: float) -> tuple[float, float]:
        path = self._folder / "long.flac"
        write_talk(path, seconds)
        try:
            return self._recognised(path)
        finally:
            path.unlink()

    def _recognised(self, path: Path) -> tuple[float, float]:
        return timed(self._core, "recognise", str(path), "--model", str(self._model))

    def start(self) -> dict[str, float]:
        runs = [self._recognised(self._short) for _ in range(self._sizes.starts)]
        seconds, memory = (statistics.median(own) for own in zip(*runs, strict=True))
        self._tell(f"start: {seconds:.2f} s, {memory:.0f} MB")
        return {"seconds": round(seconds, 3), "rss_mb": round(memory, 1)}

    def baseline(self) -> dict[str, Any]:
        """Librosa and torch; nothing where librosa is not installed."""
        if importlib.util.find_spec("librosa") is None:
            return {}
        found: dict[str, Any] = {}
        for name, (window, hop) in HOPS.items():
            given = {"sound": str(self._talk), "window": window, "hop": hop, "most": self._sizes.by_hand}
            found[name] = ask(self._core, f"{_HERE}.by_hand", "hop_times_by_hand", given, bare=False)
        self._tell(f"librosa and torch: p99 {found['hop_0.1_ms']['p99']:.0f} ms a hop")
        began = time.perf_counter()
        memory = ask(self._core, f"{_HERE}.by_hand", "first_answer", {"sound": str(self._short)}, bare=False)
        found["start"] = {"seconds": round(time.perf_counter() - began, 3), **memory}
        self._tell("done")
        return {**found, "versions": ask(self._core, f"{_HERE}.by_hand", "versions", {}, bare=False)}
