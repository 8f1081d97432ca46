"""How a service does now, as Prometheus reads it: its streams, what is heard in them, and how soon that is told."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from time import monotonic

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PREFIX = "fedser_recogniser"
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10)  # bounds of the histogram
_MOST_MOMENTS = 4096  # of a stream's messages that wait to be heard; of more, the oldest are not timed


class ServiceFigures:
    """The figures of one service, in a registry of their own."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        about = "Streams and files that are served now."
        self.connections = Gauge(f"{PREFIX}_connections", about, registry=own)
        about = "Streams and files that ended otherwise than their clients would have it."
        self._rejected = Counter(f"{PREFIX}_rejected", about, ["reason"], registry=own)
        about = "From when sound came in to when what it holds was told."
        self._latency = Histogram(f"{PREFIX}_latency_seconds", about, buckets=_SECONDS, registry=own)
        self._audio = Counter(f"{PREFIX}_audio_seconds", "Seconds of sound that were heard.", registry=own)
        self._lag = Counter(f"{PREFIX}_lag", "Times that more sound of a stream waited than may.", registry=own)
        self._segments = Counter(f"{PREFIX}_segments", "Segments of speech that were told.", registry=own)

    def refused(self, reason: str) -> None:
        """A stream or file was not served, or not to its end; the reason is a status of gRPC."""
        self._rejected.labels(reason.lower()).inc()

    def heard(self, seconds: float, segments: int) -> None:
        """Sound was heard, and so many segments of it told."""
        self._audio.inc(seconds)
        self._segments.inc(segments)

    def lagged(self) -> None:
        """More sound of a stream waited than may."""
        self._lag.inc()

    def took(self, seconds: float) -> None:
        """An event was told so long after its sound came in."""
        self._latency.observe(seconds)

    def exposition(self) -> str:
        """All of them, in Prometheus's text format (0.0.4)."""
        return generate_latest(self._registry).decode()


class StreamFigures:
    """What one stream adds to its service's figures.

    Args:
        figures: of the service.
        rate: of its sound, in Hz.
    """

    def __init__(self, figures: ServiceFigures, rate: int) -> None:
        self._figures, self._rate = figures, rate
        self._moments: deque[tuple[float, float]] = deque(maxlen=_MOST_MOMENTS)  # seconds until then, and when
        self._samples, self._heard = 0, 0.0

    def came(self, samples: int) -> None:
        """So many samples of each channel came in."""
        self._samples += samples
        self._moments.append((self._samples / self._rate, monotonic()))

    def told(self, kind: str | None, heard: float) -> None:
        """An event was told, after so many seconds of its sound were heard."""
        self._figures.heard(max(0.0, heard - self._heard), kind == "segment")
        self._heard = max(self._heard, heard)
        if kind == "lag":
            self._figures.lagged()
        place = bisect_left(self._moments, (heard, 0.0))
        for _ in range(place):
            self._moments.popleft()
        if kind in ("window", "segment") and self._moments:
            self._figures.took(monotonic() - self._moments[0][1])
