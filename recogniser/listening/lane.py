"""One channel of a stream: sound in chunks of any size in, stretches of speech to be scored out.

A segment of speech is scored as it grows, at every hop, as far back as the window goes; once it has closed, it is
scored as a whole. Silence is in none of these. What is scored, and when, does not depend on what the model finds, nor
on how the sound was cut: so many lanes can be scored together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.errors import UsageError
from recogniser.listening.exported_model import ExportedModel, Frames, Window
from recogniser.listening.frame_blocks import FrameBlocks
from recogniser.listening.speaker_adaptation import ADAPT, Adaptation
from recogniser.sound.gates import FRAME, RATE, Gate
from recogniser.sound.hysteresis import EDGE, LEAST, LONGEST, Hysteresis, OpenSegment
from recogniser.sound.resampling import Resampler
from recogniser.sound.turns import Turns

Signal = npt.NDArray[np.float32]

BLOCK_MS = 100  # of frames that are computed at once
_GATE_MS = 1000 * FRAME // RATE
_LEAST_MS = round(1000 * LEAST)
_EDGE_MS = round(1000 * EDGE)
_SHORTEST_HOP = 0.05


@dataclass(frozen=True, kw_only=True)
class ListenSettings:
    """What a stream is asked for.

    Attributes:
        window: seconds of a growing segment that are scored, the last ones.
        hop: seconds from score to score.
        adapt: one of ``speaker_adaptation.ADAPT``.
        vad: the speech gate's name.
        separate: whether each channel is listened to for itself, or the mean of all.

    Raises:
        UsageError: a value that can't be.
    """

    window: float = 2.0
    hop: float = 0.5
    adapt: str = "running"
    vad: str = "silero"
    separate: bool = False

    def __post_init__(self) -> None:
        if not LEAST <= self.window <= LONGEST:
            raise UsageError(f"--window {self.window:g}: expected {LEAST:g} to {LONGEST:g} seconds")
        if not _SHORTEST_HOP <= self.hop <= self.window:
            raise UsageError(f"--hop {self.hop:g}: expected {_SHORTEST_HOP:g} seconds to those of --window")
        if self.adapt not in ADAPT:
            raise UsageError(f"--adapt {self.adapt}: expected {', '.join(ADAPT)}")


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What of a segment is to be scored.

    Attributes:
        start: milliseconds from the stream's start.
        end: likewise.
        due: when the hop ended that it is for.
        channel: None where they are mixed.
        speaker: None where nobody said who speaks.
        final: whether it is the whole segment, which has closed.
        heard: seconds of this speaker that its scaling is made of.
        window: its frames and their scaling.
    """

    start: int
    end: int
    due: int
    channel: int | None
    speaker: str | None
    final: bool
    heard: float
    window: Window


class Lane:
    """One channel.

    Args:
        model: whose frames are computed.
        settings: what is asked for.
        rate: of the sound that comes in, in Hz.
        gate: tells speech, of this lane alone.
        adaptation: of this lane's speakers.
        channel: its number; None for all, mixed.
        turns: who speaks when; None where nobody said.
        block_ms: of frames that are computed at once: what a score may wait for them.
    """

    def __init__(
        self,
        model: ExportedModel,
        settings: ListenSettings,
        rate: int,
        gate: Gate,
        adaptation: Adaptation,
        *,
        channel: int | None = None,
        turns: Turns | None = None,
        block_ms: int = BLOCK_MS,
    ) -> None:
        self._model, self._gate, self.adaptation = model, gate, adaptation
        self._window_ms, self._hop_ms = round(1000 * settings.window), round(1000 * settings.hop)
        self._channel, self._turns = channel, turns
        self._resampler = Resampler(rate, model.sampling_rate)
        self._for_gate = None if model.sampling_rate == RATE else Resampler(rate, RATE)
        self._blocks = FrameBlocks(model, max(1, block_ms // model.hop_ms))
        self._frames = np.zeros((0, len(model.layout.columns)), np.float32)
        self._first = 0  # the frame that is kept first
        self._ungated = np.zeros(0, np.float32)
        self._speech: list[float] = []  # the gate's, of frames that wait for their features
        self._hysteresis = Hysteresis()
        self._segment: OpenSegment | None = None
        self._due = 0  # milliseconds
        self._closed = 0  # milliseconds, where the last segment ended
        self._rate, self._samples = rate, 0
        self._end: int | None = None  # milliseconds, once it is known

    def feed(self, sound: Signal) -> list[Stretch]:
        """Hear the next samples ``(samples,)`` at the rate that they come at."""
        self._samples += len(sound)
        own = self._resampler.feed(sound)
        self._hear(own, self._for_gate.feed(sound) if self._for_gate else own)
        return self._advance()

    def end(self) -> list[Stretch]:
        """Nothing follows."""
        self._end = 1000 * self._samples // self._rate
        own = self._resampler.end()
        self._hear(own, self._for_gate.end() if self._for_gate else own)
        self._keep(self._blocks.end())
        if missing := -len(self._ungated) % FRAME:
            self._hear_gate(np.zeros(missing, np.float32))
        found = self._advance(last=True)
        for segment in self._hysteresis.end():
            found += self._close(segment, self._hysteresis.frames * _GATE_MS)
        return found

    def _hear(self, sound: Signal, for_gate: Signal) -> None:
        self._keep(self._blocks.feed(sound))
        self._hear_gate(for_gate)

    def _keep(self, frames: Frames) -> None:
        self._frames = np.concatenate([self._frames, frames])

    def _hear_gate(self, sound: Signal) -> None:
        self._ungated = np.concatenate([self._ungated, sound])
        if whole := len(self._ungated) // FRAME:
            self._speech += self._gate.feed(self._ungated[: whole * FRAME].reshape(whole, FRAME)).tolist()
            self._ungated = self._ungated[whole * FRAME :]

    def _advance(self, *, last: bool = False) -> list[Stretch]:
        """Go on as far as both the gate and the features are known."""
        found: list[Stretch] = []
        known = self._first + len(self._frames)
        count = 0
        for probability in self._speech:
            until = (self._hysteresis.frames + 1) * _GATE_MS
            if self._frame(until) > known and not last:
                break
            found += self._step(probability, until)
            count += 1
        self._speech = self._speech[count:]
        self._forget()
        return found

    def _step(self, probability: float, until: int) -> list[Stretch]:
        speaker = self._turns.speaker_at((until - _GATE_MS / 2) / 1000) if self._turns else None
        found: list[Stretch] = []
        for segment in self._hysteresis.feed(probability, speaker):
            found += self._close(segment, until if segment.speaker == speaker else until - _GATE_MS)
        current = self._hysteresis.current
        if current is not self._segment:
            self._segment = current
            self._due = current.start * _GATE_MS + _LEAST_MS if current else 0
        if current and current.end * _GATE_MS == until >= self._due:
            found.append(self._grown(current, until))
        return found

    def _grown(self, segment: OpenSegment, until: int) -> Stretch:
        """What is due of a segment that has speech up to here."""
        end = self._due if self._due > until - _GATE_MS else until  # a pause has passed over it
        while self._due <= until:
            due, self._due = self._due, self._due + self._hop_ms
        start = max(self._onset(segment), end - self._window_ms)
        return self._stretch(segment, start, end, due=due, final=False)

    def _close(self, segment: OpenSegment, until: int) -> list[Stretch]:
        """The whole of a segment that has closed, no further than here; nothing of one that is too short."""
        start, end = self._onset(segment), min(segment.end * _GATE_MS + _EDGE_MS, until)
        self._closed = end
        if segment.seconds < LEAST:
            return []
        stretch = self._stretch(segment, start, end, due=end, final=True)
        self.adaptation.hear(segment.speaker, stretch.window.frames)
        return [stretch]

    def _stretch(self, segment: OpenSegment, start: int, end: int, *, due: int, final: bool) -> Stretch:
        end = end if self._end is None else min(end, self._end)
        frames = self._frames[self._frame(start) - self._first : self._frame(end) - self._first].copy()
        scaling, heard = self.adaptation.scaling(segment.speaker, frames)
        return Stretch(
            start=start,
            end=end,
            due=due,
            channel=self._channel,
            speaker=segment.speaker,
            final=final,
            heard=heard,
            window=Window(frames=frames, scaling=scaling),
        )

    def _onset(self, segment: OpenSegment) -> int:
        return max(self._closed, segment.start * _GATE_MS - _EDGE_MS)

    def _frame(self, milliseconds: int) -> int:
        """The first frame that lies there or behind."""
        return -(-milliseconds // self._model.hop_ms)

    def _forget(self) -> None:
        """Keep no frame that cannot be in a segment any more."""
        current = self._hysteresis.current
        start = current.start if current else self._hysteresis.frames
        needed = self._frame(max(0, start * _GATE_MS - _EDGE_MS))
        if needed > self._first:
            self._frames = self._frames[needed - self._first :]
            self._first = needed
