"""One channel of a stream: sound in chunks of any size in, stretches of speech to be scored out.

A segment of speech is scored as it grows, at every hop, as far back as the window goes; once it has closed, it is
scored as a whole. Silence is in none of these, and its features are not computed. What is scored, and when, does not
depend on what the model finds, nor on how the sound was cut: so many lanes go through the gate, the features and the
model together, a step of each at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common.errors import UsageError
from recogniser.listening.exported_model import ExportedModel, Frames, Window
from recogniser.listening.frame_blocks import FrameSpan, SoundOfFrames
from recogniser.listening.planned_stretches import Plan, Planner
from recogniser.listening.speaker_adaptation import ADAPT, Adaptation
from recogniser.sound.gates import FRAME, RATE, Gate
from recogniser.sound.hysteresis import LEAST, LONGEST
from recogniser.sound.resampling import Resampler
from recogniser.sound.turns import Turns

Signal = npt.NDArray[np.float32]

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

    What comes in is taken, and then asked for and answered in turn: the frames for its gate, the sound of the features
    that are due, the stretches that are to be scored.

    Args:
        model: whose frames are computed.
        settings: what is asked for.
        rate: of the sound that comes in, in Hz.
        gate: tells speech, of this lane alone.
        adaptation: of this lane's speakers.
        channel: its number; None for all, mixed.
        turns: who speaks when; None where nobody said.
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
    ) -> None:
        self.gate, self.adaptation = gate, adaptation
        self._channel, self._hop_ms = channel, model.hop_ms
        self._resampler = Resampler(rate, model.sampling_rate)
        self._for_gate = None if model.sampling_rate == RATE else Resampler(rate, RATE)
        self._sound = SoundOfFrames(model)
        self._ungated = np.zeros(0, np.float32)
        self._planner = Planner(round(1000 * settings.window), round(1000 * settings.hop), turns)
        self._plans: deque[Plan] = deque()
        self._ready = 0  # of the plans, whose features can be computed
        self._rate, self._samples = rate, 0
        self._end: int | None = None  # milliseconds, once it is known

    def take(self, sound: Signal, *, last: bool = False) -> None:
        """Take in the next samples ``(samples,)`` at the rate that they come at; ``last``: nothing follows."""
        self._samples += len(sound)
        own = self._resampler.feed(sound)
        self._keep(own, self._for_gate.feed(sound) if self._for_gate else own)
        if last:
            self._end = 1000 * self._samples // self._rate
            own = self._resampler.end()
            self._keep(own, self._for_gate.end() if self._for_gate else own)
            self._ungated = np.concatenate([self._ungated, np.zeros(-len(self._ungated) % FRAME, np.float32)])
            self._sound.end()

    def _keep(self, sound: Signal, for_gate: Signal) -> None:
        self._sound.feed(sound)
        self._ungated = np.concatenate([self._ungated, for_gate])

    @property
    def waits(self) -> bool:
        """Whether more sound has to come before there is anything to do."""
        if self._end is not None or len(self._ungated) >= FRAME:
            return False
        return not (self._plans and self._sound.reaches(self._frame(self._plans[0].end)))

    def for_gate(self) -> Signal:
        """The frames ``(frames, FRAME)`` that its gate is to be asked next."""
        size = len(self._ungated) // FRAME * FRAME
        frames, self._ungated = self._ungated[:size].reshape(-1, FRAME), self._ungated[size:]
        return frames

    def judge(self, speech: Signal) -> list[FrameSpan]:
        """Take what the gate said of each of these frames; returns of what sound features are due."""
        for probability in speech.tolist():
            self._plans += self._planner.hear(probability)
        if self._end is not None:
            self._plans += self._planner.end()
        until: dict[int, int] = {}  # the frame behind the last one that is due, by segment
        self._ready = 0
        for plan in self._plans:
            if not self._sound.reaches(end := self._frame(self._ended(plan))):
                break
            until[plan.onset] = end
            self._ready += 1
        return [span for onset, end in until.items() for span in self._sound.spans(self._frame(onset), end)]

    def stretches(self, spans: Sequence[FrameSpan], frames: Sequence[Frames]) -> list[Stretch]:
        """What is to be scored, once the features of what was due are known."""
        for span, own in zip(spans, frames, strict=True):
            self._sound.add(span, own)
        found = [self._stretch(self._plans.popleft()) for _ in range(self._ready)]
        self._sound.forget({self._frame(self._planner.onset), *(self._frame(plan.onset) for plan in self._plans)})
        return found

    def _stretch(self, plan: Plan) -> Stretch:
        end = self._ended(plan)
        frames = self._sound.frames(self._frame(plan.onset), self._frame(plan.start), self._frame(end))
        scaling, heard = self.adaptation.scaling(plan.speaker, frames)
        if plan.final:
            self.adaptation.hear(plan.speaker, frames)
        return Stretch(
            start=plan.start,
            end=end,
            due=plan.due,
            channel=self._channel,
            speaker=plan.speaker,
            final=plan.final,
            heard=heard,
            window=Window(frames=frames, scaling=scaling),
        )

    def _ended(self, plan: Plan) -> int:
        return plan.end if self._end is None else min(plan.end, self._end)

    def _frame(self, milliseconds: int) -> int:
        """The first frame that lies there or behind."""
        return -(-milliseconds // self._hop_ms)
