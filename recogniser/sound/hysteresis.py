"""From a gate's probabilities to segments: one opens where speech is sure, and closes after a pause."""

from __future__ import annotations

from dataclasses import dataclass, field

from recogniser.sound.gates import FRAME, RATE

OPENS = 0.5  # probability from which a segment opens
STAYS = 0.35  # and from which it goes on
PAUSE = 0.3  # seconds below it that close a segment, where nobody asks for others
LONGEST = 10.0  # seconds; a longer one goes on as the next
LEAST = 0.5  # seconds of speech that are scored
SECONDS = FRAME / RATE  # of a frame


@dataclass(kw_only=True)
class OpenSegment:
    """A segment that may still grow; times in frames of the gate.

    Attributes:
        start: of its first frame.
        end: of its last frame of speech: a pause that it may close with is left out.
        speaker: whose turn it is.
    """

    start: int
    end: int
    speaker: str | None = None

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start) * SECONDS


@dataclass(kw_only=True)
class Hysteresis:
    """One stream's segments, frame by frame.

    Attributes:
        pause: seconds without speech that close a segment.
        current: the open segment; None in silence.
        frames: how many were heard.
    """

    pause: float = PAUSE
    current: OpenSegment | None = None
    frames: int = 0
    _closed: list[OpenSegment] = field(default_factory=list, init=False, repr=False)

    def feed(self, probability: float, speaker: str | None = None) -> list[OpenSegment]:
        """Hear a frame; returns the segments that it closed.

        Args:
            probability: that it is speech.
            speaker: whose turn it is, where that is known; another one's speech is another segment.
        """
        at, self.frames = self.frames, self.frames + 1
        self._closed = []
        if self.current and self.current.speaker != speaker:
            self._close()
        if self.current is None:
            if probability >= OPENS:
                self.current = OpenSegment(start=at, end=at + 1, speaker=speaker)
            return self._closed
        if probability >= STAYS:
            self.current.end = at + 1
            if (self.current.end - self.current.start + 1) * SECONDS > LONGEST:
                self._close()
        elif (at + 1 - self.current.end) * SECONDS >= self.pause:
            self._close()
        return self._closed

    def end(self) -> list[OpenSegment]:
        """Nothing follows; returns the segment that this closes."""
        self._closed = []
        self._close()
        return self._closed

    def _close(self) -> None:
        if self.current is not None:
            self._closed.append(self.current)
        self.current = None
