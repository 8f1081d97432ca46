"""What one service bears."""

from __future__ import annotations

from dataclasses import dataclass

from common.errors import UsageError

LARGEST_MESSAGE = 1 << 20  # bytes


@dataclass(frozen=True, kw_only=True)
class StreamLimits:
    """Limits of a service and of each of its streams.

    Attributes:
        streams: that are served at once.
        seconds: of sound in a stream.
        idle: seconds without a message after which a stream ends.
        waiting: seconds of sound that may wait; beyond them, growing segments are not scored.
        most_waiting: seconds of sound from which on no more is read of a stream, and for which any may wait.

    Raises:
        UsageError: one that is not above 0.
    """

    streams: int = 64
    seconds: float = 3600.0
    idle: float = 30.0
    waiting: float = 2.0
    most_waiting: float = 10.0

    def __post_init__(self) -> None:
        for flag, value in (("--max-streams", self.streams), ("--max-seconds", self.seconds), ("--idle", self.idle)):
            if not value > 0:
                raise UsageError(f"{flag} {value:g}: expected a number above 0")
