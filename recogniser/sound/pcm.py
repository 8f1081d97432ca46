"""Samples as bytes of a stream: whole numbers of 16 bits, floats of 32, or µ-law of 8."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from common.errors import AudioError, UsageError

Block = npt.NDArray[np.float32]  # (samples, channels)

RATES = (4_000, 384_000)  # Hz, that sound may come at
MOST_CHANNELS = 64


def _linear16(data: bytes) -> Block:
    return np.frombuffer(data, "<i2") * np.float32(2**-15)


def _float32(data: bytes) -> Block:
    return np.frombuffer(data, "<f4").astype(np.float32)


@lru_cache(maxsize=1)
def _mulaw_table() -> Block:
    """What each byte stands for (ITU-T G.711): sign, exponent and mantissa, all inverted, with a bias of 33."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = ((2 * mantissa + 33) << exponent) - 33
    return (np.where(code & 128, -size, size) / (1 << 13)).astype(np.float32)


def _mulaw(data: bytes) -> Block:
    return _mulaw_table()[np.frombuffer(data, np.uint8)]


ENCODINGS: dict[str, tuple[int, Callable[[bytes], Block]]] = {  # bytes of a sample, and how they are decoded
    "linear16": (2, _linear16),
    "float32": (4, _float32),
    "mulaw": (1, _mulaw),
}


class PcmDecoder:
    """Bytes in chunks of any size to samples, little end first, the channels of a moment side by side.

    Args:
        encoding: a name in ``ENCODINGS``.
        channels: how many.

    Raises:
        UsageError: no such encoding.
    """

    def __init__(self, encoding: str, channels: int) -> None:
        if encoding not in ENCODINGS:
            raise UsageError(f"no encoding {encoding!r}; expected {', '.join(ENCODINGS)}")
        self._size, self._decode = ENCODINGS[encoding]
        self._channels, self._rest = channels, b""
        self._always_finite = encoding != "float32"
        self.broken = 0  # samples that were no finite numbers, so far

    def decode(self, data: bytes) -> Block:
        """The samples ``(samples, channels)`` that are whole now; 0 where one is no finite number."""
        data = self._rest + data
        whole = len(data) - len(data) % (self._size * self._channels)
        self._rest = data[whole:]
        samples = self._decode(data[:whole]).reshape(-1, self._channels)
        if self._always_finite or (finite := np.isfinite(samples)).all():
            return samples
        self.broken += int(finite.size - np.count_nonzero(finite))
        return np.where(finite, samples, np.float32(0))

    def end(self) -> None:
        """Say that nothing follows.

        Raises:
            AudioError: ``truncated``: it ended within a sample.
        """
        if self._rest:
            said = f"ends within a sample: {len(self._rest)} bytes too many for {self._channels} channels"
            raise AudioError("truncated", f"{said} of {self._size} bytes; are --encoding and --channels right?")
