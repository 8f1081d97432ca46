"""What is too unsure to be named: below a confidence, or the least sure share of what was heard."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from common.errors import UsageError
from recogniser.listening.recording_result import Segment


@dataclass(kw_only=True)
class Unsure:
    """A threshold for one stream.

    Attributes:
        below: the confidence below which a segment has no name.
        leave: the share of the segments heard so far, the least sure ones, that have none: a threshold that follows.

    Raises:
        UsageError: a share that is none.
    """

    below: float = 0.0
    leave: float = 0.0
    _heard: list[float] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        for flag, value in (("--unsure", self.below), ("--leave", self.leave)):
            if not 0 <= value <= 1:
                raise UsageError(f"{flag} {value:g}: expected a number from 0 to 1")
        if self.below and self.leave:
            raise UsageError("--unsure and --leave are two thresholds for the same: give one")

    def named(self, emotion: str, confidence: float) -> str | None:
        """The emotion, or None where it is too unsure."""
        if not self.leave:
            return emotion if confidence >= self.below else None
        place = bisect.bisect_left(self._heard, confidence)
        self._heard.insert(place, confidence)
        return emotion if place >= int(self.leave * len(self._heard)) else None


def leave_out(segments: Sequence[Segment], share: float) -> list[Segment]:
    """Segments, the least sure share of which has no name; of equally sure ones the later."""
    order = sorted(range(len(segments)), key=lambda place: (segments[place].confidence, -place))
    unsure = set(order[: int(share * len(segments))])
    return [replace(own, emotion=None) if place in unsure else own for place, own in enumerate(segments)]
