"""F0 without its errors: of a frame here and there, an octave off, a range would be made of these alone."""

from __future__ import annotations

import numpy as np

from recogniser.prosody.level_and_pitch import Column
from recogniser.prosody.phrasing import Mask, Phrasing

STEP = 4.0  # semitones from frame to frame; no voice goes further in 10 ms
SHORTEST = 0.05  # seconds that a track goes on for without such a step


def steady(semitones: Column, phrasing: Phrasing, hop: float) -> Mask:
    """The frames whose F0 counts: voiced, sounding, and in a run of them without a leap, ``(frames,)``.

    Args:
        semitones: F0, 0 where unvoiced, ``(frames,)``.
        phrasing: where they sound.
        hop: seconds from frame to frame.
    """
    found: Mask = np.zeros(len(semitones), np.bool_)
    for run in phrasing.phrases:  # one at a time, so that hours take no more than it does
        around = slice(run.start, run.end)
        found[around] = steady_within(semitones[around], phrasing.sounding[around], hop)
    return found


def steady_within(semitones: Column, sounding: Mask, hop: float) -> Mask:
    """As ``steady``, of a stretch of frames at once."""
    voiced: Mask = (semitones > 0) & sounding
    leaps = np.abs(np.diff(semitones, prepend=semitones[:1])) > STEP
    run = np.cumsum(voiced & (leaps | ~np.concatenate([[False], voiced[:-1]])))
    lasting: Mask = np.bincount(run[voiced], minlength=len(semitones) + 1)[run] * hop >= SHORTEST
    return voiced & lasting
