"""What a hop takes to compute, gate, features, windows and all, in this process; and how many scores a sound has."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import ListenSettings
from recogniser.listening.listener import Event, Growing, Listener
from simulations.hearing.made_up_sound import RATE, Signal


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """The median and the 99th percentile of some times, in milliseconds."""
    return {f"p{share}": round(float(np.percentile(seconds, share)) * 1e3, 3) for share in (50, 99)}


def hop_times(model: str, sound: str, window: float, hop: float) -> dict[str, float]:
    """Of the hops of a file in which something is scored, as ``percentiles``."""
    listener = Listener(ExportedModel.load(Path(model)), ListenSettings(window=window, hop=hop), RATE, 1)
    times: list[float] = []
    for chunk in chunks(soundfile.read(sound, dtype="float32")[0], hop):
        began = time.perf_counter()
        if listener.hear(chunk[:, None]):
            times.append(time.perf_counter() - began)
    return percentiles(times)


def chunks(sound: Signal, seconds: float) -> Iterator[Signal]:
    """A sound ``(samples,)`` in pieces."""
    size = round(seconds * RATE)
    for at in range(0, len(sound), size):
        yield sound[at : at + size]


def scores_of(model: ExportedModel, settings: ListenSettings, sound: Signal) -> tuple[int, int]:
    """How many growing segments and closed ones a sound has."""
    listener = Listener(model, settings, RATE, 1)
    events: list[Event] = [*listener.hear(sound[:, None]), *listener.end()]
    growing = sum(isinstance(event, Growing) for event in events)
    return growing, len(events) - growing
