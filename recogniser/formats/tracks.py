"""Who is heard where: a recording's segments by channel and speaker, and what each format says of a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from common.escaping import one_line
from recogniser.listening.recording_result import Segment

UNSURE = "unsure"  # in place of an emotion, in the formats that people look at


@dataclass(frozen=True, kw_only=True)
class Track:
    """Segments of one channel and speaker, none of which overlaps the next.

    Attributes:
        name: of no other track; empty where the recording has neither channels nor speakers.
        speaker: whose; empty where nobody said it.
        segments: in the order of their starts.
    """

    name: str
    speaker: str
    segments: tuple[Segment, ...]

    def tier(self, kind: str) -> str:
        """The name of its tier of a kind, such as ``emotion``."""
        return f"{kind}: {self.name}" if self.name else kind


def by_track(segments: Sequence[Segment]) -> list[Track]:
    """The tracks that segments need, by channel and speaker; one at least, so that a silent recording has tiers too.

    Where a channel's and speaker's segments overlap each other, as somebody else's turns may, they take several.
    What lasts less than a millisecond is in none: no tier holds it.
    """
    lasting = (own for own in segments if round(own.start, 3) < round(own.end, 3))
    ordered = sorted(lasting, key=lambda own: (_place(own), own.start, own.end))
    lanes: list[list[Segment]] = []
    for own in ordered:
        free = (lane for lane in lanes if _place(lane[-1]) == _place(own) and lane[-1].end <= own.start)
        lane = next(free, None)
        if lane is None:
            lanes.append(lane := [])
        lane.append(own)
    taken: set[str] = set()
    tracks = []
    for lane in lanes:
        name = _unused(said_by(lane[0]), taken)
        tracks.append(Track(name=name, speaker=one_line(lane[0].speaker or ""), segments=tuple(lane)))
    return tracks or [Track(name="", speaker="", segments=())]


def said_by(segment: Segment) -> str:
    """Whose it is, in one line: the speaker, the channel (counted from 0), both or nothing."""
    parts = [] if segment.speaker is None else [one_line(segment.speaker)]
    parts += [] if segment.channel is None else [f"channel {segment.channel}"]
    return ", ".join(parts)


def emotion_of(segment: Segment) -> str:
    """Its emotion in one line, ``UNSURE`` where that is null."""
    return UNSURE if segment.emotion is None else one_line(segment.emotion)


def in_words(segment: Segment) -> str:
    """Its emotion and how sure that is: ``anger 0.92``."""
    return f"{emotion_of(segment)} {segment.confidence:.2f}"


def _place(segment: Segment) -> tuple[int, str]:
    channel = -1 if segment.channel is None else segment.channel
    return channel, "" if segment.speaker is None else f"={segment.speaker}"


def _unused(name: str, taken: set[str]) -> str:
    """The name, or with the first number that makes it one that isn't taken; it is now."""
    numbered = (name if number == 1 else f"{name} ({number})".strip() for number in count(1))
    free = next(each for each in numbered if each not in taken)
    taken.add(free)
    return free
