"""One channel's phrases, pauses, syllables and F0, frame by frame, and parts of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recogniser.prosody.level_and_pitch import Column, LevelAndPitch
from recogniser.prosody.nuclei import nuclei
from recogniser.prosody.phrasing import Mask, Owners, Phrasing, Run, Stretch, own_frames, phrase
from recogniser.prosody.steady_pitch import steady

_MARGIN = 0.25  # seconds around a phrase, by which its first and last peaks are told

Frames = npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class AnalysedChannel:
    """One channel, frame by frame.

    Attributes:
        hop: seconds from frame to frame.
        owners: whose each frame is, ``(frames,)``.
        phrasing: where they speak and pause.
        nuclei: the frames of the syllables' nuclei; None where the model has no columns that tell them.
        level: in dB, ``(frames,)``; None likewise.
        semitones: F0 over 60 Hz, 0 where unvoiced, ``(frames,)``; None likewise.
        steady: where F0 counts, ``(frames,)``.
    """

    hop: float
    owners: Owners
    phrasing: Phrasing
    nuclei: Frames | None
    level: Column | None
    semitones: Column | None
    steady: Mask


@dataclass(frozen=True, kw_only=True)
class Part:
    """Of a channel the frames ``[start, end)``, of all speakers or of one."""

    of: AnalysedChannel
    start: int
    end: int
    owner: int | None = None

    @property
    def mask(self) -> Mask:
        """Which of its frames are speech that sounds, ``(end - start,)``."""
        sounding: Mask = self.of.phrasing.sounding[self.start : self.end]
        return sounding if self.owner is None else sounding & (self.of.owners[self.start : self.end] == self.owner)

    @property
    def speech(self) -> float:
        """Seconds of phrases in it."""
        return self._seconds(self.of.phrasing.phrases)

    @property
    def silence(self) -> float:
        """Seconds of pauses in it."""
        return self._seconds(self.of.phrasing.pauses)

    @property
    def pauses(self) -> list[float]:
        """Of the pauses that begin in it how long each lasts, in seconds."""
        begun = (run for run in self._own(self.of.phrasing.pauses) if self.start <= run.start < self.end)
        return [self.of.hop * run.frames for run in begun]

    @property
    def syllables(self) -> int:
        """The nuclei in it."""
        if self.of.nuclei is None:
            return 0
        low, high = np.searchsorted(self.of.nuclei, [self.start, self.end])
        inside = self.of.nuclei[low:high]
        return len(inside) if self.owner is None else int(np.count_nonzero(self.of.owners[inside] == self.owner))

    def between(self, start: int, end: int) -> Part:
        """Of it the frames ``[start, end)``."""
        return Part(of=self.of, start=max(start, self.start), end=min(end, self.end), owner=self.owner)

    def _own(self, runs: Iterable[Run]) -> Iterable[Run]:
        return (run for run in runs if self.owner is None or run.owner == self.owner)

    def _seconds(self, runs: Iterable[Run]) -> float:
        inside = (min(run.end, self.end) - max(run.start, self.start) for run in self._own(runs))
        return self.of.hop * sum(max(0, frames) for frames in inside)


def analyse(kept: LevelAndPitch, stretches: Sequence[Stretch], speakers: Sequence[str | None]) -> AnalysedChannel:
    """A channel's phrases, pauses, syllables and F0.

    Args:
        kept: its frames.
        stretches: its speech.
        speakers: whose that is; a frame's owner is a place among these.
    """
    owners = own_frames(stretches, speakers, kept.frames, kept.hop)
    level, semitones, voicing = kept.level, kept.semitones, kept.voicing
    phrasing = phrase(level, owners, kept.hop)
    unvoiced = np.zeros(len(owners), np.bool_)
    return AnalysedChannel(
        hop=kept.hop,
        owners=owners,
        phrasing=phrasing,
        nuclei=None if level is None or voicing is None else _nuclei(level, voicing, phrasing.phrases, kept.hop),
        level=level,
        semitones=semitones,
        steady=unvoiced if semitones is None else steady(semitones, phrasing, kept.hop),
    )


def _nuclei(level: Column, voicing: Column, phrases: Sequence[Run], hop: float) -> Frames:
    """A phrase at a time, so that hours take no more than it does."""
    margin = round(_MARGIN / hop)
    found = [np.zeros(0, np.intp)]
    for run in phrases:
        first = max(0, run.start - margin)
        around = slice(first, run.end + margin)
        peaks = first + nuclei(level[around].astype(np.float32), voicing[around].astype(np.float32), hop)
        found.append(peaks[(peaks >= run.start) & (peaks < run.end)])
    return np.concatenate(found)
