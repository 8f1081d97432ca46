"""Where a channel's speakers speak and where they pause: the level inside of what a gate took for speech.

A gate's segments hold short pauses and begin and end some frames off; the level says to a frame where the sound is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recogniser.prosody.level_and_pitch import Column

BELOW = 35.0  # dB under a stretch's loud frames (95 %) that its sound reaches down to
OVER = 5.0  # dB over what is heard between the stretches that a sound lies, in a noisy room
SHORTEST_SOUND = 0.05  # seconds; less is a click
SHORTEST_PAUSE = 0.25  # seconds; less is a stop of the tract (Goldman-Eisler 1968)
LONGEST_PAUSE = 10.0  # seconds; more is a time at which nobody speaks

Mask = npt.NDArray[np.bool_]  # (frames,)
Owners = npt.NDArray[np.int16]  # (frames,): a number a speaker, -1 for nobody


class Stretch(Protocol):
    """Somebody's speech, in seconds from the recording's start, such as a segment."""

    @property
    def start(self) -> float:
        """Where it begins."""

    @property
    def end(self) -> float:
        """Where it ends."""

    @property
    def channel(self) -> int | None:
        """Of which channel; None for the mixture."""

    @property
    def speaker(self) -> str | None:
        """Whose; None where nobody said it."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Frames in a row, ``[start, end)``, of one speaker."""

    start: int
    end: int
    owner: int

    @property
    def frames(self) -> int:
        """How many."""
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class Phrasing:
    """One channel's runs.

    Attributes:
        phrases: speech without a pause in it, in order.
        pauses: between two phrases of one speaker, in order.
        sounding: the frames that sound: a stop of the tract within a phrase doesn't.
    """

    phrases: list[Run]
    pauses: list[Run]
    sounding: Mask


def own_frames(stretches: Sequence[Stretch], speakers: Sequence[str | None], frames: int, hop: float) -> Owners:
    """Whose each frame is; where stretches overlap, of those that begin later."""
    owners: Owners = np.full(frames, -1, np.int16)
    for own in sorted(stretches, key=lambda own: own.start):
        owners[round(own.start / hop) : round(own.end / hop)] = speakers.index(own.speaker)
    return owners


def phrase(level: Column | None, owners: Owners, hop: float) -> Phrasing:
    """Part speech at its pauses.

    Args:
        level: in dB, ``(frames,)``; None to go by the owners alone.
        owners: whose each frame is, ``(frames,)``.
        hop: seconds from frame to frame.
    """
    sounding = owners >= 0
    if level is not None:
        sounding &= level > _thresholds(level, owners)
    runs = [run for run in _runs(sounding, owners) if run.frames * hop >= SHORTEST_SOUND]
    phrases: list[Run] = []
    pauses: list[Run] = []
    for run in runs:
        last = phrases[-1] if phrases and phrases[-1].owner == run.owner else None
        gap = (run.start - last.end) * hop if last else np.inf
        if last and gap < SHORTEST_PAUSE:
            phrases[-1] = Run(start=last.start, end=run.end, owner=run.owner)
            continue
        if last and gap <= LONGEST_PAUSE:
            pauses.append(Run(start=last.end, end=run.start, owner=run.owner))
        phrases.append(run)
    return Phrasing(phrases=phrases, pauses=pauses, sounding=sounding)


def _thresholds(level: Column, owners: Owners) -> Column:
    """By frame, the level from which it sounds: of each stretch by itself, as people come closer and turn away."""
    between = level[owners < 0]
    room = float(np.median(between)) + OVER if len(between) else -np.inf
    table: Column = np.full(len(level), np.inf, np.float16)
    for run in _runs(owners >= 0, owners):
        loud = float(np.percentile(level[run.start : run.end], 95))
        table[run.start : run.end] = min(max(loud - BELOW, room), loud - OVER)
    return table


def _runs(mask: Mask, owners: Owners) -> list[Run]:
    """The runs of a mask, parted where the owner changes."""
    marked = np.where(mask, owners, np.int16(-1))
    edges = np.flatnonzero(np.diff(marked, prepend=np.int16(-1), append=np.int16(-1)))
    pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    return [Run(start=a, end=b, owner=int(marked[a])) for a, b in pairs if marked[a] >= 0]
