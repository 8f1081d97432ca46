"""Rooms by image sources: what a microphone in a box with echoing walls hears (Allen & Berkley 1979)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from common.seeds import numpy_generator

Array = npt.NDArray[np.float64]
Point = tuple[float, float, float]

SOUND = 343.0  # m/s
ROOMS = 32  # of a set
LONGEST = 0.3  # seconds of a response that are kept


def response(size: Point, source: Point, microphone: Point, reflection: float, rate: int, seconds: float) -> Array:
    """The impulse response of a box, from the direct sound on, which has 1; each echo at its nearest sample.

    Args:
        size: of the box, in metres.
        source: where the sound comes from, in the box.
        microphone: where it is heard, in the box.
        reflection: the share of the pressure that a wall gives back, 0 to 1.
        rate: Hz.
        seconds: the response's length; what comes later is left out.
    """
    direct = math.dist(source, microphone)
    samples = round(seconds * rate)
    farthest = direct + seconds * SOUND
    axes = [_axis(*one, farthest) for one in zip(size, source, microphone, strict=True)]
    (x, nx), (y, ny), (z, nz) = axes
    distance = np.sqrt((x**2)[:, None, None] + (y**2)[:, None] + z**2).ravel()
    bounces = (nx[:, None, None] + ny[:, None] + nz).ravel()
    delay = np.rint((distance - direct) / SOUND * rate).astype(np.int64)
    heard = delay < samples
    strength = reflection ** bounces[heard] * direct / distance[heard]
    made: Array = np.bincount(delay[heard], strength, samples).astype(np.float64)
    return made


def _axis(size: float, source: float, microphone: float, farthest: float) -> tuple[Array, npt.NDArray[np.int64]]:
    """Along one axis, how far each image lies from the microphone, and how many walls it bounced off."""
    count = math.ceil(farthest / (2 * size)) + 1
    n = np.arange(-count, count + 1, dtype=np.int64)
    distances = np.concatenate([2 * n * size + source - microphone, 2 * n * size - source - microphone])
    return distances, np.concatenate([np.abs(2 * n), np.abs(2 * n - 1)])


@lru_cache(maxsize=2 * ROOMS)
def room_response(number: int, which: int, rate: int) -> Array:
    """That of a room drawn at random, 3 to 8 m long, with a T60 of 0.2 to 0.6 s and the speaker at most 2 m away.

    Args:
        number: of the set of rooms; two sets have no room in common.
        which: of its rooms, from 0.
        rate: Hz.
    """
    draw = numpy_generator("room", number, which)
    length, width, height = draw.uniform(3.0, 8.0), draw.uniform(2.5, 5.0), draw.uniform(2.4, 3.5)
    microphone = (draw.uniform(0.3, 0.7) * length, draw.uniform(0.3, 0.7) * width, 1.2)
    away, angle = draw.uniform(0.5, 2.0), draw.uniform(0, 2 * math.pi)
    source = (
        float(np.clip(microphone[0] + away * math.cos(angle), 0.3, length - 0.3)),
        float(np.clip(microphone[1] + away * math.sin(angle), 0.3, width - 0.3)),
        1.5,
    )
    walls = 2 * (length * width + length * height + width * height)
    absorbed = 1 - math.exp(-0.161 * length * width * height / (walls * draw.uniform(0.2, 0.6)))  # Eyring
    return response((length, width, height), source, microphone, math.sqrt(1 - absorbed), rate, LONGEST)
