"""A recording from its beginning to its end: twice where the model adapts to all of it, first for the sums.

What was read is let go of, so that hours take no more memory than minutes, but for the result.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from common.audio.reading import WARNINGS
from common.escaping import escaped
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import Due, ListenSettings, Stretch
from recogniser.listening.listener import Growing, Listener
from recogniser.listening.recording_result import (
    DECIMALS,
    SHARE_DECIMALS,
    Problem,
    RecordingResult,
    Segment,
    Summary,
    Trajectory,
)
from recogniser.listening.speaker_adaptation import Speakers
from recogniser.listening.unsure import Unsure, leave_out
from recogniser.sound.file_blocks import FileBlocks
from recogniser.sound.gates import Gate, RememberingGate, open_gate
from recogniser.sound.noise_suppression import without_noise
from recogniser.sound.turns import Turns


@dataclass(frozen=True, kw_only=True)
class RecogniseSettings:
    """What a recording is asked for.

    Attributes:
        listen: as any stream is.
        unsure: the confidence below which a segment has no name.
        leave: the share of its segments, the least sure ones, that have none.
        denoise: whether noise is suppressed before anything hears it.

    Raises:
        UsageError: a value that can't be.
    """

    listen: ListenSettings = field(default_factory=lambda: ListenSettings(adapt="recording"))
    unsure: float = 0.0
    leave: float = 0.0
    denoise: bool = False

    def __post_init__(self) -> None:
        Unsure(below=self.unsure, leave=self.leave)

    def as_dict(self) -> dict[str, Any]:
        """As a result names them."""
        listen = asdict(self.listen)
        channels = "separate" if listen.pop("separate") else "mixed"
        asked = {"unsure": self.unsure, "leave": self.leave, "denoise": self.denoise}
        return {**listen, "channels": channels, **asked}


Keep = Callable[[Stretch, Segment], str]


def recognise(
    model: ExportedModel,
    path: Path,
    settings: RecogniseSettings,
    turns: Turns | None = None,
    *,
    keep: Keep | None = None,
    **noted: Any,
) -> RecordingResult:
    """Recognise a recording; what is wrong with it is among the result's problems.

    Args:
        model: that listens.
        path: of a file in any format that soundfile reads.
        settings: what is asked for.
        turns: who speaks when; None where nobody said.
        keep: called with each segment, gives the id that its scores are kept by; None where they are not kept.
        noted: what else is to be named among the settings.

    Raises:
        UsageError, FedserError: the gate can't be had.
    """
    gates: list[Gate] | None = None
    known: list[Speakers] | None = None
    if settings.listen.adapt == "recording" and model.adapts(to_all=True):
        gates, known = _sums(model, path, settings, turns)
    found = _Found(settings.listen.hop, model.said.classes)
    blocks = FileBlocks(path=path)
    unsure = Unsure(below=settings.unsure)
    for listener, stretches in _passing(model, blocks, settings, turns, gates=gates, known=known, unsure=unsure):
        for own, event in zip(stretches, listener.told(stretches), strict=True):
            found.take(_kept(own, event, keep))
    return _result(model, blocks, settings, found, noted)


def _kept(due: Due, event: Growing | Segment, keep: Keep | None) -> Growing | Segment:
    if keep and isinstance(due, Stretch) and isinstance(event, Segment):
        return replace(event, id=keep(due, event))
    return event


def _sums(
    model: ExportedModel, path: Path, settings: RecogniseSettings, turns: Turns | None
) -> tuple[list[Gate], list[Speakers]]:
    """What was heard of each channel's speakers in all of a recording, and its gates, to be asked again."""
    running = replace(settings, listen=replace(settings.listen, adapt="running"))
    gates: list[RememberingGate] = []
    known: list[Speakers] = []
    for listener, _ in _passing(model, FileBlocks(path=path), running, turns, remember=gates):
        known = [lane.adaptation.heard for lane in listener.lanes]
    return [gate.again() for gate in gates], known


def _passing(
    model: ExportedModel,
    blocks: FileBlocks,
    settings: RecogniseSettings,
    turns: Turns | None,
    *,
    remember: list[RememberingGate] | None = None,
    gates: Sequence[Gate] | None = None,
    known: Sequence[Speakers] | None = None,
    unsure: Unsure | None = None,
) -> Iterator[tuple[Listener, list[Due]]]:
    """A listener that hears a file, block by block, and what is to be scored of each."""
    listener: Listener | None = None
    asked = settings.listen
    for block in without_noise(blocks) if settings.denoise else blocks:
        if listener is None:
            if remember is not None:
                count = blocks.channels if asked.separate else 1
                remember += [RememberingGate(open_gate(asked.vad)) for _ in range(count)]
            listener = Listener(
                model,
                asked,
                blocks.rate,
                blocks.channels,
                turns=turns,
                known=known,
                gates=remember or gates,
                unsure=unsure,
            )
        yield listener, listener.stretches(block)
    if listener is not None:
        yield listener, listener.last_stretches()


class _Found:
    """What was heard so far."""

    def __init__(self, hop: float, classes: Sequence[str]) -> None:
        self.hop = hop
        self.segments: list[Segment] = []
        self._scores = {name: array("d") for name in classes}  # by the hop's number, the sum over channels
        self._count = array("d")

    def take(self, event: Growing | Segment) -> None:
        """Keep an event."""
        if isinstance(event, Segment):
            self.segments.append(event)
        else:
            self._add(math.ceil(round(event.due / self.hop, 6)) - 1, event.probabilities)

    def _add(self, number: int, probabilities: Mapping[str, float]) -> None:
        for scores in (self._count, *self._scores.values()):
            scores.extend([0] * (number + 1 - len(scores)))
        self._count[number] += 1
        for name, value in probabilities.items():
            self._scores[name][number] += value

    def trajectory(self, seconds: float) -> Trajectory:
        """Between the segments; of channels that speak at once the mean."""
        count = math.ceil(round(seconds / self.hop, 6))
        return Trajectory(
            hop=self.hop,
            times=[round((number + 1) * self.hop, DECIMALS) for number in range(count)],
            speech=self._speech(count),
            probabilities={name: self._means(scores, count) for name, scores in self._scores.items()},
        )

    def _means(self, scores: array[float], count: int) -> list[float | None]:
        pairs = zip(scores, self._count, strict=True)
        means = [round(score / spoken, SHARE_DECIMALS) if spoken else None for score, spoken in pairs][:count]
        return means + [None] * (count - len(means))

    def _speech(self, count: int) -> list[float]:
        shares = [0.0] * count
        for own in self.segments:
            for number in range(int(own.start / self.hop), min(count, math.ceil(own.end / self.hop))):
                inside = min(own.end, (number + 1) * self.hop) - max(own.start, number * self.hop)
                shares[number] += max(0.0, inside) / self.hop
        return [round(min(1.0, share), DECIMALS) for share in shares]


def _result(
    model: ExportedModel, blocks: FileBlocks, settings: RecogniseSettings, found: _Found, noted: dict[str, Any]
) -> RecordingResult:
    seconds = round(blocks.samples / blocks.rate, DECIMALS) if blocks.rate else 0.0
    segments = sorted(found.segments, key=lambda own: (own.start, own.end, own.channel or 0))
    if settings.leave:
        segments = leave_out(segments, settings.leave)
    return RecordingResult(
        path=escaped(str(blocks.path)),
        seconds=seconds,
        sampling_rate=blocks.rate,
        model=model.said,
        settings={**settings.as_dict(), **noted},
        segments=segments,
        trajectory=found.trajectory(seconds),
        summary=Summary.of(segments, model.said.classes),
        problems=[Problem(kind=error.kind, detail=error.detail) for error in blocks.problems],
    )


def is_broken(result: RecordingResult) -> bool:
    """Whether a recording has a problem with which it can't be taken for whole."""
    return any(problem.kind not in WARNINGS for problem in result.problems)
