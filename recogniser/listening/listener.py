"""Sound in chunks of any size in, what is heard in it out: for a file, a microphone, and each stream of a service.

A file is a stream that does not wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recogniser.listening.exported_model import ExportedModel, Probabilities
from recogniser.listening.frame_blocks import frames_together
from recogniser.listening.lane import Due, Lane, ListenSettings, Stretch
from recogniser.listening.planned_stretches import Boundary
from recogniser.listening.recording_result import DECIMALS, SHARE_DECIMALS, Segment
from recogniser.listening.speaker_adaptation import Adaptation, Speakers
from recogniser.listening.unsure import Unsure
from recogniser.sound.gates import Gate, open_gate
from recogniser.sound.gates_together import ask_together
from recogniser.sound.turns import Turns

Block = npt.NDArray[np.float32]  # (samples, channels)
Signal = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Growing:
    """A segment that has not closed yet, scored as far as it goes.

    Attributes:
        start: of what was scored, in seconds from the stream's start.
        end: likewise.
        due: when the hop ended that it is for.
        channel: None where they are mixed.
        speaker: None where nobody said who speaks.
        probabilities: of each class.
        heard: seconds of this speaker before.
        speech: how probably it is speech, by the gate.
        stability: 1 less the largest change of a probability since the segment's last score; 0 for its first.
    """

    start: float
    end: float
    due: float
    channel: int | None
    speaker: str | None
    probabilities: dict[str, float]
    heard: float
    speech: float
    stability: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Speech begins or has ended, where that is asked for: of each segment, and of one that is too short to be scored.

    Attributes:
        time: when, in seconds from the stream's start.
        speaking: whether it begins.
        channel: None where they are mixed.
        speaker: None where nobody said who speaks.
    """

    time: float
    speaking: bool
    channel: int | None
    speaker: str | None


Event = Growing | Segment


class Listener:
    """A stream of sound, of one or more channels.

    Args:
        model: that listens.
        settings: what is asked for.
        rate: of the sound, in Hz.
        channels: how many.
        turns: who speaks when; None where nobody said.
        known: what was heard of each channel's speakers before; with ``adapt=recording``, in all of it.
        gates: one for each channel that is listened to; by default new ones.
        unsure: what is too unsure to be named.
        decimals: of the probabilities that are told.
        activity: whether it is told where speech begins and ends.

    Raises:
        UsageError, FedserError: of the gate.
    """

    def __init__(
        self,
        model: ExportedModel,
        settings: ListenSettings,
        rate: int,
        channels: int,
        *,
        turns: Turns | None = None,
        known: Sequence[Speakers] | None = None,
        gates: Sequence[Gate] | None = None,
        unsure: Unsure | None = None,
        decimals: int = SHARE_DECIMALS,
        activity: bool = False,
    ) -> None:
        self._decimals, self._channels = decimals, channels
        self._before: dict[int | None, dict[str, float]] = {}  # of each channel's open segment, as last told
        self._model, self._unsure, self._separate = model, unsure or Unsure(), settings.separate
        count = channels if settings.separate else 1
        gates = gates or [open_gate(settings.vad) for _ in range(count)]
        adaptations = [Adaptation(model, settings.adapt, heard) for heard in known or [{}] * count]
        self.lanes = [
            Lane(
                model,
                settings,
                rate,
                gate,
                adaptation,
                channel=number if settings.separate else None,
                turns=turns,
                boundaries=activity,
            )
            for number, (gate, adaptation) in enumerate(zip(gates, adaptations, strict=True))
        ]

    def take(self, block: Block, *, last: bool = False) -> None:
        """Take in samples ``(samples, channels)``, to be heard by ``stretches_together``; ``last``: nothing follows."""
        for lane, own in self._split(block):
            lane.take(own, last=last)

    def stretches(self, block: Block) -> list[Due]:
        """What is to be scored, once these samples ``(samples, channels)`` have come in."""
        self.take(block)
        return stretches_together(self._model, [self])[0]

    def last_stretches(self) -> list[Due]:
        """What is left to be scored; nothing follows."""
        self.take(np.zeros((0, self._channels), np.float32), last=True)
        return stretches_together(self._model, [self])[0]

    def hear(self, block: Block) -> list[Event]:
        """What is heard, once these samples ``(samples, channels)`` have come in."""
        return self.told(self.stretches(block))

    def end(self) -> list[Event]:
        """What is heard at the end; nothing follows."""
        return self.told(self.last_stretches())

    def told(self, due: Sequence[Due]) -> list[Event]:
        """Score stretches and tell what they are; where speech begins and ends ``tell`` alone says."""
        stretches = [own for own in due if isinstance(own, Stretch)]
        if not stretches:
            return []
        scores = self._model.score([stretch.window for stretch in stretches])
        return [self._tell(stretch, own.tolist()) for stretch, own in zip(stretches, scores, strict=True)]

    def tell(self, due: Sequence[Due], scores: Iterator[Probabilities]) -> list[Event | Activity]:
        """What is due, in its order; the scores of its stretches, ``(classes,)`` each, are taken one by one."""
        return [self._tell(own, next(scores).tolist()) if isinstance(own, Stretch) else _activity(own) for own in due]

    def _split(self, block: Block) -> list[tuple[Lane, Signal]]:
        if self._separate:
            return list(zip(self.lanes, block.T, strict=True))
        return [(self.lanes[0], block[:, 0] if self._channels == 1 else block.mean(axis=1))]

    def _tell(self, stretch: Stretch, scores: Sequence[float]) -> Event:
        found = {
            name: round(score, self._decimals) for name, score in zip(self._model.said.classes, scores, strict=True)
        }
        told: dict[str, Any] = {
            "start": round(stretch.start / 1000, DECIMALS),
            "end": round(stretch.end / 1000, DECIMALS),
            "channel": stretch.channel,
            "speaker": stretch.speaker,
            "probabilities": found,
            "heard": round(stretch.heard, DECIMALS),
        }
        before = self._before.pop(stretch.channel, None)
        if not stretch.final:
            self._before[stretch.channel] = found
            due, speech = round(stretch.due / 1000, DECIMALS), round(stretch.speech, DECIMALS)
            return Growing(due=due, speech=speech, stability=_stability(before, found), **told)
        likeliest = max(found, key=lambda name: found[name])
        confidence = found[likeliest]
        return Segment(emotion=self._unsure.named(likeliest, confidence), confidence=confidence, **told)


def stretches_together(model: ExportedModel, listeners: Sequence[Listener]) -> list[list[Due]]:
    """What is to be scored of each of some streams, once they have taken in more: each as if it were alone.

    The gate and the features are asked for all at once, which costs less than for each.
    """
    lanes = [lane for listener in listeners for lane in listener.lanes if not lane.waits]
    said = ask_together([lane.gate for lane in lanes], [lane.for_gate() for lane in lanes])
    spans = [lane.judge(speech) for lane, speech in zip(lanes, said, strict=True)]
    frames = iter(frames_together(model, [span for own in spans for span in own]))
    found = {lane: lane.stretches(own, [next(frames) for _ in own]) for lane, own in zip(lanes, spans, strict=True)}
    return [_in_time([own for lane in each.lanes for own in found.get(lane, ())]) for each in listeners]


def _stability(before: dict[str, float] | None, now: dict[str, float]) -> float:
    return 1 - max(abs(now[name] - own) for name, own in before.items()) if before else 0.0


def _activity(own: Boundary) -> Activity:
    time = round(own.end / 1000, DECIMALS)
    return Activity(time=time, speaking=own.begins, channel=own.channel, speaker=own.speaker)


def _in_time(due: list[Due]) -> list[Due]:
    return sorted(due, key=lambda own: own.end)
