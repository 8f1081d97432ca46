"""From a sound to its frames: ``common.features.extractor`` without the joining of frames and the bridging of F0."""

from __future__ import annotations

import math

import numpy as np

from recogniser.graph.frame_constants import (
    CrossingConstants,
    FrontConstants,
    SpectralConstants,
    WindowConstants,
)
from recogniser.graph.fundamental import fundamental
from recogniser.graph.node_builder import END, Array, NodeBuilder, Value, between, ints, number, whole
from recogniser.graph.stretches import frame_count, padded, power, stretches

FLOOR = 1e-10  # of power
ROLLOFF = 0.85
_SIGN_THRESHOLD = 1e-10
_TINY = float(np.finfo(np.float32).tiny)


def sound_frames(builder: NodeBuilder, sound: Value, constants: FrontConstants) -> Value:
    """``(batch, 1 + samples // hop, columns)`` of ``(batch, samples)``."""
    frames = frame_count(builder, sound, constants.hop)
    parts = [part for window in constants.windows for part in _of_window(builder, sound, frames, window, constants)]
    if constants.pitch is not None:
        parts += fundamental(builder, sound, frames, constants.hop, constants.pitch)
    return builder.op("Concat", *parts, axis=2)


def _of_window(
    builder: NodeBuilder, sound: Value, frames: Value, window: WindowConstants, constants: FrontConstants
) -> list[Value]:
    parts: list[Value] = []
    if window.spectrum is not None:
        parts += _spectral(builder, sound, frames, window.spectrum, constants)
    if window.crossings is not None:
        parts.append(_crossing_rate(builder, sound, frames, window.crossings, constants.hop))
    return parts


def _spectral(
    builder: NodeBuilder, sound: Value, frames: Value, own: SpectralConstants, constants: FrontConstants
) -> list[Value]:
    rows = stretches(builder, sound, frames, constants.hop, own.before, len(own.window))
    spectrum = power(builder, rows, own.window, own.points)
    levels = _decibels(builder, builder.op("MatMul", spectrum, own.bank))
    parts = []
    if own.statics.shape[1]:
        parts.append(_with_derivatives(builder, builder.op("MatMul", levels, own.statics), constants.derivatives))
    if own.frequencies is None:
        return parts
    magnitude = builder.op("Sqrt", spectrum)
    bands = between(builder, levels, 0, own.bands, 2)
    shape = [_centroid, _rolloff]
    return [*parts, *(each(builder, magnitude, own.frequencies) for each in shape), _flux(builder, bands)]


def _decibels(builder: NodeBuilder, powers: Value) -> Value:
    logarithm = builder.op("Log", builder.op("Max", powers, number(FLOOR)))
    return builder.op("Mul", logarithm, number(10 / math.log(10)))


def _with_derivatives(builder: NodeBuilder, statics: Value, taps: Array) -> Value:
    """Statics, Δ, ΔΔ of ``(batch, frames, statics)``, the end frames repeated; one convolution over time."""
    order, width = taps.shape
    if not order:
        return statics
    reach = width // 2
    held = builder.op("Pad", statics, ints(0, reach, 0, 0, reach, 0), mode="edge")
    image = builder.op("Unsqueeze", held, ints(1))
    derived = builder.op("Conv", image, taps.astype(np.float32)[:, None, :, None])
    by_frame = builder.op("Transpose", derived, perm=[0, 2, 1, 3])
    return builder.op("Concat", statics, builder.op("Reshape", by_frame, ints(0, 0, -1)), axis=2)


def _centroid(builder: NodeBuilder, magnitude: Value, frequencies: Array) -> Value:
    moments = builder.op("MatMul", magnitude, np.stack([frequencies, np.ones_like(frequencies)], axis=1))
    total = builder.op("Max", between(builder, moments, 1, 2, 2), number(_TINY))
    return builder.op("Div", between(builder, moments, 0, 1, 2), total)


def _rolloff(builder: NodeBuilder, magnitude: Value, frequencies: Array) -> Value:
    running = builder.op("CumSum", magnitude, whole(2))
    wanted = builder.op("Mul", between(builder, running, -1, len(frequencies), 2), number(ROLLOFF))
    below = builder.op("Cast", builder.op("Less", running, wanted), to=1)
    place = builder.op("Cast", builder.op("ReduceSum", below, ints(2), keepdims=1), to=7)
    return builder.op("Gather", frequencies, place)


def _flux(builder: NodeBuilder, bands: Value) -> Value:
    """How much the levels rise from the frame before on average; 0 in the first frame."""
    rise = builder.op("Sub", between(builder, bands, 1, END, 1), between(builder, bands, 0, -1, 1))
    mean = builder.op("ReduceMean", builder.op("Relu", rise), axes=[2], keepdims=1)
    return builder.op("Pad", mean, ints(0, 1, 0, 0, 0, 0))


def _crossing_rate(builder: NodeBuilder, sound: Value, frames: Value, own: CrossingConstants, hop: int) -> Value:
    """The sign changes within each window, a sample; the first of them lies at the sound's second sample."""
    negative = builder.op("Cast", builder.op("Less", sound, number(-_SIGN_THRESHOLD)), to=1)
    step = builder.op("Sub", between(builder, negative, 1, END, 1), between(builder, negative, 0, -1, 1))
    rows = stretches(builder, builder.op("Abs", step), frames, hop, own.before, own.size - 1)
    sums = builder.op("MatMul", rows, padded(np.ones((own.size - 1, 1), dtype=np.float32), hop))
    return builder.op("Div", sums, number(own.size))
