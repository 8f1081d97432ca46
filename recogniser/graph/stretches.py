"""Windows of a sound and their spectra as matrix products, whose rows never depend on how many there are.

A convolution would sum in another order for another number of frames; a product of rows with a matrix does not, so that
a block of a sound gives the whole sound's frames to the last bit.
"""

from __future__ import annotations

import math

import numpy as np

from recogniser.graph.node_builder import Array, NodeBuilder, Value, between, count, ints, numbered


def frame_count(builder: NodeBuilder, sound: Value, hop: int) -> Value:
    """How many frames ``(batch, samples)`` have, ``1 + samples // hop``, as a row of one int64."""
    return builder.op("Add", builder.op("Div", count(builder, sound, 1), ints(hop)), ints(1))


def stretches(
    builder: NodeBuilder, sound: Value, frames: Value, hop: int, before: int, size: int, more: int = 0
) -> Value:
    """The samples around each frame, zeros beyond the ends.

    Args:
        builder: of the graph.
        sound: ``(batch, samples)``.
        frames: how many, a row of one int64.
        hop: from frame to frame.
        before: how many samples before a frame's centre its stretch begins.
        size: of a stretch.
        more: frames after the last.

    Returns:
        ``(batch, frames + more, hops * hop)``, of ``hops = ceil(size / hop)``; ``padded`` brings a matrix to as many.
    """
    hops = math.ceil(size / hop)
    rows = builder.op("Add", frames, ints(more))
    blocks = builder.op("Add", rows, ints(hops - 1))
    samples = builder.op("Mul", blocks, ints(hop))
    after = builder.op("Sub", builder.op("Sub", samples, count(builder, sound, 1)), ints(before))
    widened = builder.op("Pad", sound, builder.op("Concat", ints(0, before, 0), after, axis=0))
    return joined(builder, builder.op("Reshape", widened, ints(0, -1, hop)), rows, hops, hop)


def joined(builder: NodeBuilder, table: Value, rows: Value, each: int, width: int) -> Value:
    """Each of the first ``rows`` with the ``each - 1`` after it, ``(batch, rows, each * width)``."""
    first = builder.op("Unsqueeze", numbered(builder, rows), ints(1))
    places = builder.op("Add", first, np.arange(each, dtype=np.int64)[None])
    return builder.op("Reshape", builder.op("Gather", table, places, axis=1), ints(0, -1, each * width))


def padded(matrix: Array, hop: int) -> Array:
    """A matrix with zero rows after its own, for stretches of whole hops."""
    return np.pad(matrix, ((0, -len(matrix) % hop), (0, 0)))


def power(builder: NodeBuilder, rows: Value, window: Array, points: int) -> Value:
    """The power spectrum of rows under a periodic Hann window.

    The window is even about its middle, so that the sums of two samples as far from it on either side have the cosine
    part and their differences the sine part: half of the multiplications.

    Args:
        builder: of the graph.
        rows: ``(batch, frames, at least len(window))``.
        window: its first number is 0.
        points: of the transform.

    Returns:
        ``(batch, frames, points // 2 + 1)``.
    """
    size = len(window)
    half = size // 2
    left = between(builder, rows, 1, half + 1, 2)
    right = between(builder, rows, size - 1, size - half - 1, 2, -1)
    cosine, sine = _waves(window, points)
    real = builder.op("MatMul", builder.op("Add", left, right), cosine)
    imaginary = builder.op("MatMul", builder.op("Sub", left, right), sine)
    return builder.op("Add", builder.op("Mul", real, real), builder.op("Mul", imaginary, imaginary))


def _waves(window: Array, points: int) -> tuple[Array, Array]:
    """The window's first half times cosines and sines about its middle, ``(half, bins)`` each."""
    size = len(window)
    place = np.arange(1, size // 2 + 1)
    taper = window[place].astype(np.float64) * np.where(2 * place == size, 0.5, 1.0)  # the middle one meets itself
    angle = 2 * np.pi * np.outer(place - size / 2, np.arange(points // 2 + 1)) / points
    waves = [taper[:, None] * wave(angle) for wave in (np.cos, np.sin)]
    return waves[0].astype(np.float32), waves[1].astype(np.float32)
