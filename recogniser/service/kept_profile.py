"""What was heard of a speaker, as bytes that a client keeps from one stream to the next; the service keeps none.

It holds sums over feature rows and no name: of whom they are, only the client knows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.running_sums import Sums
from recogniser.listening.speaker_adaptation import Adaptation
from recogniser.service.refused_stream import invalid

_HEAD = struct.Struct("<4s32sII")  # magic, the model's digest, channels, features
_MAGIC = b"FSP1"
_MOST_ROWS, _LARGEST = 1e12, 1e6  # of a row's features, far more than any has


def write_profile(model: ExportedModel, adaptations: Sequence[Adaptation]) -> bytes:
    """The sums of a stream's speaker in each of its channels; empty for a model or a stream that adapts to nobody."""
    if not all(own.learns for own in adaptations):
        return b""
    features = model.layout.features
    parts = [_HEAD.pack(_MAGIC, bytes.fromhex(model.said.sha256), len(adaptations), features)]
    for own in adaptations:
        sums = sum(own.heard.values(), Sums.none(features))  # a stream has one speaker
        parts.append(np.concatenate([[sums.rows], sums.total, sums.square]).astype("<f8").tobytes())
    return b"".join(parts)


def read_profile(profile: bytes, model: ExportedModel, channels: int) -> list[Sums]:
    """The speaker's sums in each channel.

    Raises:
        RefusedStream: INVALID_ARGUMENT: they are not of this model or of so many channels, or no sums at all.
    """
    features = model.layout.features
    head = _HEAD.pack(_MAGIC, bytes.fromhex(model.said.sha256), channels, features)
    if profile[: len(head)] != head or len(profile) != len(head) + 8 * channels * (1 + 2 * features):
        raise invalid(
            f"profile of {len(profile)} bytes: expected what Done gave for this model and {channels} channel(s); "
            "begin without one"
        )
    numbers = np.frombuffer(profile, "<f8", offset=len(head)).reshape(channels, 1 + 2 * features)
    if not all(_are_sums(own) for own in numbers):
        raise invalid("profile holds no sums: expected it as Done gave it; begin without one")
    return [Sums(rows=int(own[0]), total=own[1 : 1 + features], square=own[1 + features :]) for own in numbers]


def _are_sums(numbers: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    rows, total, square = numbers[0], *np.split(numbers[1:], 2)
    if not (np.isfinite(numbers).all() and 0 <= rows <= _MOST_ROWS and rows == int(rows)):
        return False
    return bool(
        (np.abs(total) <= rows * _LARGEST).all() and (square >= 0).all() and (square <= rows * _LARGEST**2).all()
    )
