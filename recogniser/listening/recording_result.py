"""What was recognised in a recording: its segments of speech, the trajectory between them, a summary, its problems.

As JSON it is the contract of ``fedser recognise``; every other format is written from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

DECIMALS = 3  # of a second
SHARE_DECIMALS = 6  # of a probability


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of speech that is scored as a whole.

    Attributes:
        start: seconds from the recording's start.
        end: likewise; the segment is ``[start, end)``.
        channel: counted from 0; None where the channels were mixed.
        speaker: None where nobody said who speaks.
        emotion: the likeliest class; None where that is unsure.
        confidence: the likeliest class's probability.
        probabilities: of each class.
        heard: seconds of speech of this speaker before, by which the features were scaled.
        id: by which its label can be given later, where its scores are kept; else empty, and not told.
    """

    start: float
    end: float
    channel: int | None
    speaker: str | None
    emotion: str | None
    confidence: float
    probabilities: dict[str, float]
    heard: float
    id: str = ""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start

    def as_dict(self) -> dict[str, Any]:
        """As it is told."""
        return {name: value for name, value in vars(self).items() if name != "id" or value}


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """The probabilities as they went, one value a hop.

    Attributes:
        hop: seconds from value to value.
        times: seconds from the recording's start: where each hop ends.
        speech: how much of each hop was speech, 0 to 1.
        probabilities: of each class a value a hop; None where nothing was spoken, or too little yet.
    """

    hop: float
    times: list[float]
    speech: list[float]
    probabilities: dict[str, list[float | None]]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A recording in a few numbers.

    Attributes:
        speech: seconds of it.
        share: of each class, its segments' share of those seconds.
        changes: how often a segment's emotion is another than that before it of the same channel and speaker.
        unsure: the share of those seconds whose segments are unsure.
    """

    speech: float
    share: dict[str, float]
    changes: int
    unsure: float

    @classmethod
    def of(cls, segments: Sequence[Segment], classes: Sequence[str]) -> Self:
        """That of segments, in the order of their starts."""
        whole = sum(each.seconds for each in segments)
        seconds = {name: sum(own.seconds for own in segments if own.emotion == name) for name in (*classes, None)}
        share = {name: round(value / whole, SHARE_DECIMALS) if whole else 0.0 for name, value in seconds.items()}
        return cls(
            speech=round(whole, DECIMALS),
            share={name: share[name] for name in classes},
            changes=_changes(segments),
            unsure=share[None],
        )


def _changes(segments: Sequence[Segment]) -> int:
    last: dict[tuple[int | None, str | None], str] = {}
    changes = 0
    for own in segments:
        if own.emotion is None:
            continue
        whose = (own.channel, own.speaker)
        changes += last.get(whose, own.emotion) != own.emotion
        last[whose] = own.emotion
    return changes


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong with a recording.

    Attributes:
        kind: in a word, such as ``truncated`` or ``non-finite``.
        detail: what was found, in one line.
    """

    kind: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class ModelSaid:
    """What the result says of its model.

    Attributes:
        sha256: of the fedser model.
        classes: in the order of its outputs.
        normalise: how its features are scaled.
        synthetic: whether it was trained with made-up voices.
    """

    sha256: str
    classes: list[str]
    normalise: str
    synthetic: bool


@dataclass(frozen=True, kw_only=True)
class RecordingResult:
    """All that was recognised in a recording.

    Attributes:
        path: as it was named.
        seconds: of sound; how far it could be read.
        sampling_rate: of the file, in Hz.
        model: which.
        settings: what it was asked for, by name.
        segments: in the order of their starts.
        trajectory: between them.
        summary: of the segments.
        prosody: what was asked for of it; None for nothing.
        problems: none where all is well.
    """

    path: str
    seconds: float
    sampling_rate: int
    model: ModelSaid
    settings: dict[str, Any]
    segments: list[Segment]
    trajectory: Trajectory
    summary: Summary
    prosody: dict[str, Any] | None = None
    problems: list[Problem] = field(default_factory=list)

    def as_json(self) -> str:
        """One JSON object and a line's end."""
        parts: dict[str, Any] = {  # and not asdict, which copies hours of numbers
            "model": vars(self.model),
            "segments": [own.as_dict() for own in self.segments],
            "trajectory": vars(self.trajectory),
            "summary": vars(self.summary),
            "problems": [vars(own) for own in self.problems],
        }
        return json.dumps({**vars(self), **parts}, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What ``as_json`` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        found: Mapping[str, Any] = json.loads(text)
        parts = {
            "model": ModelSaid(**found["model"]),
            "segments": [Segment(**each) for each in found["segments"]],
            "trajectory": Trajectory(**found["trajectory"]),
            "summary": Summary(**found["summary"]),
            "problems": [Problem(**each) for each in found["problems"]],
        }
        return cls(**{**found, **parts})
