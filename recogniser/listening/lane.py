"""One channel of a stream: sound in chunks of any size in, stretches of speech to be scored out.

A segment of speech is scored as it grows, at every hop, as far back as the window goes; once it has closed, it is
scored as a whole. Silence is in none of these, and its features are not computed. What is scored, and when, does not
depend on what the model finds, nor on how the sound was cut: so many lanes go through the gate, the features and the
model together, a step of each at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from common.errors import UsageError
from recogniser.listening.exported_model import ExportedModel, Frames, Window
from recogniser.listening.frame_blocks import FrameSpan, SoundOfFrames
from recogniser.listening.planned_stretches import Boundary, Cadence, Plan, Planner
from recogniser.listening.speaker_adaptation import ADAPT, Adaptation
from recogniser.sound.gates import FRAME, RATE, Gate
from recogniser.sound.hysteresis import LEAST, LONGEST, PAUSE
from recogniser.sound.resampling import Resampler
from recogniser.sound.turns import Turns

Signal = npt.NDArray[np.float32]

_SHORTEST_HOP = 0.05
_SHORTEST = 0.1  # seconds of speech that are scored, and of a pause
_LONGEST_PAUSE = 2.0


@dataclass(frozen=True, kw_only=True)
class ListenSettings:
    """What a stream is asked for.

    Attributes:
        window: seconds of a growing segment that are scored, the last ones.
        hop: seconds from score to score.
        adapt: one of ``speaker_adaptation.ADAPT``.
        vad: the speech gate's name.
        separate: whether each channel is listened to for itself, or the mean of all.
        least: seconds of speech from which a segment is scored.
        pause: seconds without speech, which close one.

    Raises:
        UsageError: a value that can't be.
    """

    window: float = 2.0
    hop: float = 0.5
    adapt: str = "running"
    vad: str = "silero"
    separate: bool = False
    least: float = LEAST
    pause: float = PAUSE

    def __post_init__(self) -> None:
        if not LEAST <= self.window <= LONGEST:
            raise UsageError(f"--window {self.window:g}: expected {LEAST:g} to {LONGEST:g} seconds")
        if not _SHORTEST_HOP <= self.hop <= self.window:
            raise UsageError(f"--hop {self.hop:g}: expected {_SHORTEST_HOP:g} seconds to those of --window")
        if not _SHORTEST <= self.least <= self.window:
            raise UsageError(f"--least {self.least:g}: expected {_SHORTEST:g} seconds to those of --window")
        if not _SHORTEST <= self.pause <= _LONGEST_PAUSE:
            raise UsageError(f"--pause {self.pause:g}: expected {_SHORTEST:g} to {_LONGEST_PAUSE:g} seconds")
        if self.adapt not in ADAPT:
            raise UsageError(f"--adapt {self.adapt}: expected {', '.join(ADAPT)}")

    def cadence(self, *, boundaries: bool) -> Cadence:
        """When its segments are scored, and whether where they begin and end is told."""
        window, hop, least, pause = (round(1000 * own) for own in (self.window, self.hop, self.least, self.pause))
        return Cadence(window=window, hop=hop, least=least, pause=pause, boundaries=boundaries)


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
        speech: how probably it is speech; 0 of a whole segment.
        window: its frames and their scaling.
    """

    start: int
    end: int
    due: int
    channel: int | None
    speaker: str | None
    final: bool
    heard: float
    speech: float
    window: Window


Due = Stretch | Boundary


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
        boundaries: whether it is told where segments begin and end.
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
        boundaries: bool = False,
    ) -> None:
        self.gate, self.adaptation = gate, adaptation
        self._channel, self._hop_ms = channel, model.hop_ms
        self._resampler = Resampler(rate, model.sampling_rate)
        self._for_gate = None if model.sampling_rate == RATE else Resampler(rate, RATE)
        self._sound = SoundOfFrames(model)
        self._ungated = np.zeros(0, np.float32)
        self._planner = Planner(settings.cadence(boundaries=boundaries), turns)
        self._plans: deque[Plan | Boundary] = deque()
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
            if isinstance(plan, Plan):
                if not self._sound.reaches(end := self._frame(self._ended(plan))):
                    break
                until[plan.onset] = end
            self._ready += 1
        return [span for onset, end in until.items() for span in self._sound.spans(self._frame(onset), end)]

    def stretches(self, spans: Sequence[FrameSpan], frames: Sequence[Frames]) -> list[Due]:
        """What is to be scored and told, once the features of what was due are known."""
        for span, own in zip(spans, frames, strict=True):
            self._sound.add(span, own)
        found = [self._due(self._plans.popleft()) for _ in range(self._ready)]
        onsets = {plan.onset for plan in self._plans if isinstance(plan, Plan)}
        self._sound.forget({self._frame(onset) for onset in (self._planner.onset, *onsets)})
        return found

    def _due(self, plan: Plan | Boundary) -> Due:
        if isinstance(plan, Plan):
            return self._stretch(plan)
        return replace(plan, end=self._ended(plan), channel=self._channel)

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
            speech=plan.speech,
            window=Window(frames=frames, scaling=scaling),
        )

    def _ended(self, plan: Plan | Boundary) -> int:
        return plan.end if self._end is None else min(plan.end, self._end)

    def _frame(self, milliseconds: int) -> int:
        """The first frame that lies there or behind."""
        return -(-milliseconds // self._hop_ms)
