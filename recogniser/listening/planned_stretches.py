"""From a gate's probabilities to what of a stream is to be scored, and when: no feature need be known for that."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recogniser.sound.gates import FRAME, RATE
from recogniser.sound.hysteresis import Hysteresis, OpenSegment
from recogniser.sound.turns import Turns

_GATE_MS = 1000 * FRAME // RATE


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A stretch that will be scored once its features are there; times in milliseconds from the stream's start.

    Attributes:
        onset: where its segment begins, which tells it from others.
        start: of the stretch.
        end: likewise.
        due: when the hop ended that it is for.
        speaker: whose turn it is; None where nobody said.
        final: whether it is the whole segment, which has closed.
        speech: how probably it is speech, the mean over its frames; 0 of a whole one.
    """

    onset: int
    start: int
    end: int
    due: int
    speaker: str | None
    final: bool
    speech: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Boundary:
    """Where a segment begins or has ended, be it too short to be scored; told in its place among the plans.

    Attributes:
        end: when, in milliseconds from the stream's start.
        speaker: whose turn it is; None where nobody said.
        begins: or it has ended.
        channel: None where they are mixed.
    """

    end: int
    speaker: str | None
    begins: bool
    channel: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cadence:
    """When a stream's segments are scored; in milliseconds.

    Attributes:
        window: of a growing segment that are scored, the last ones.
        hop: from score to score.
        least: of speech from which a segment is scored.
        pause: without speech, which closes one.
        boundaries: whether it is told where segments begin and end.
    """

    window: int
    hop: int
    least: int
    pause: int
    boundaries: bool


class Planner:
    """One channel's plans, in the order of their ends.

    Args:
        cadence: when they are due.
        turns: who speaks when; None where nobody said.
    """

    def __init__(self, cadence: Cadence, turns: Turns | None) -> None:
        self._cadence, self._turns = cadence, turns
        self._hysteresis = Hysteresis(pause=cadence.pause / 1000)
        self._said: list[float] = []  # the gate's probabilities, from the open segment's first frame on
        self._segment: OpenSegment | None = None
        self._due = 0
        self._closed = 0  # where the last segment ended

    @property
    def onset(self) -> int:
        """Where the open segment begins, or the earliest that may follow."""
        current = self._hysteresis.current
        return self._from(current.start if current else self._hysteresis.frames)

    def hear(self, probability: float) -> list[Plan | Boundary]:
        """The plans that the gate's next probability makes."""
        until = (self._hysteresis.frames + 1) * _GATE_MS
        speaker = self._turns.speaker_at((until - _GATE_MS / 2) / 1000) if self._turns else None
        found: list[Plan | Boundary] = []
        for segment in self._hysteresis.feed(probability, speaker):
            found += self._close(segment, until if segment.speaker == speaker else until - _GATE_MS)
        current = self._hysteresis.current
        if current is not self._segment:
            found += self._open(current)
        if current:
            self._said.append(probability)
        if current and current.end * _GATE_MS == until >= self._due:
            found.append(self._grown(current, until))
        return found

    def end(self) -> list[Plan | Boundary]:
        """Those that are left; nothing follows."""
        return [
            plan
            for segment in self._hysteresis.end()
            for plan in self._close(segment, self._hysteresis.frames * _GATE_MS)
        ]

    def _open(self, segment: OpenSegment | None) -> list[Boundary]:
        """Turn to the segment that is open now; None for silence."""
        self._segment = segment
        self._said.clear()
        self._due = segment.start * _GATE_MS + self._cadence.least if segment else 0
        return self._boundary(self._from(segment.start), segment, begins=True) if segment else []

    def _boundary(self, at: int, segment: OpenSegment, *, begins: bool) -> list[Boundary]:
        return [Boundary(end=at, speaker=segment.speaker, begins=begins)] if self._cadence.boundaries else []

    def _grown(self, segment: OpenSegment, until: int) -> Plan:
        """What is due of a segment that has speech up to here."""
        end = self._due if self._due > until - _GATE_MS else until  # a pause has passed over it
        while self._due <= until:
            due, self._due = self._due, self._due + self._cadence.hop
        onset = self._from(segment.start)
        start = max(onset, end - self._cadence.window)
        said = self._said[start // _GATE_MS - segment.start :]
        speech = math.fsum(said) / len(said)
        return Plan(onset=onset, start=start, end=end, due=due, speaker=segment.speaker, final=False, speech=speech)

    def _close(self, segment: OpenSegment, until: int) -> list[Plan | Boundary]:
        """The whole of a segment that has closed, no further than here; nothing of one that is too short."""
        onset, end = self._from(segment.start), min(segment.end * _GATE_MS, until)
        self._closed = end
        ended = self._boundary(end, segment, begins=False)
        if (segment.end - segment.start) * _GATE_MS < self._cadence.least:
            return [*ended]
        return [*ended, Plan(onset=onset, start=onset, end=end, due=end, speaker=segment.speaker, final=True)]

    def _from(self, frame: int) -> int:
        return max(self._closed, frame * _GATE_MS)
