"""From a gate's probabilities to what of a stream is to be scored, and when: no feature need be known for that."""

from __future__ import annotations

from dataclasses import dataclass

from recogniser.sound.gates import FRAME, RATE
from recogniser.sound.hysteresis import LEAST, Hysteresis, OpenSegment
from recogniser.sound.turns import Turns

_GATE_MS = 1000 * FRAME // RATE
_LEAST_MS = round(1000 * LEAST)


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
    """

    onset: int
    start: int
    end: int
    due: int
    speaker: str | None
    final: bool


class Planner:
    """One channel's plans, in the order of their ends.

    Args:
        window: milliseconds of a growing segment that are scored, the last ones.
        hop: milliseconds from score to score.
        turns: who speaks when; None where nobody said.
    """

    def __init__(self, window: int, hop: int, turns: Turns | None) -> None:
        self._window, self._hop, self._turns = window, hop, turns
        self._hysteresis = Hysteresis()
        self._segment: OpenSegment | None = None
        self._due = 0
        self._closed = 0  # where the last segment ended

    @property
    def onset(self) -> int:
        """Where the open segment begins, or the earliest that may follow."""
        current = self._hysteresis.current
        return self._from(current.start if current else self._hysteresis.frames)

    def hear(self, probability: float) -> list[Plan]:
        """The plans that the gate's next probability makes."""
        until = (self._hysteresis.frames + 1) * _GATE_MS
        speaker = self._turns.speaker_at((until - _GATE_MS / 2) / 1000) if self._turns else None
        found: list[Plan] = []
        for segment in self._hysteresis.feed(probability, speaker):
            found += self._close(segment, until if segment.speaker == speaker else until - _GATE_MS)
        current = self._hysteresis.current
        if current is not self._segment:
            self._segment = current
            self._due = current.start * _GATE_MS + _LEAST_MS if current else 0
        if current and current.end * _GATE_MS == until >= self._due:
            found.append(self._grown(current, until))
        return found

    def end(self) -> list[Plan]:
        """Those that are left; nothing follows."""
        return [
            plan
            for segment in self._hysteresis.end()
            for plan in self._close(segment, self._hysteresis.frames * _GATE_MS)
        ]

    def _grown(self, segment: OpenSegment, until: int) -> Plan:
        """What is due of a segment that has speech up to here."""
        end = self._due if self._due > until - _GATE_MS else until  # a pause has passed over it
        while self._due <= until:
            due, self._due = self._due, self._due + self._hop
        onset = self._from(segment.start)
        start = max(onset, end - self._window)
        return Plan(onset=onset, start=start, end=end, due=due, speaker=segment.speaker, final=False)

    def _close(self, segment: OpenSegment, until: int) -> list[Plan]:
        """The whole of a segment that has closed, no further than here; nothing of one that is too short."""
        onset, end = self._from(segment.start), min(segment.end * _GATE_MS, until)
        self._closed = end
        if segment.seconds < LEAST:
            return []
        return [Plan(onset=onset, start=onset, end=end, due=end, speaker=segment.speaker, final=True)]

    def _from(self, frame: int) -> int:
        return max(self._closed, frame * _GATE_MS)
