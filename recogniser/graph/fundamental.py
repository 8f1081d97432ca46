"""F0 and voicing of a sound's frames: ``common.features.pitch`` as nodes, but for the bridging of unvoiced frames."""

from __future__ import annotations

import math

import numpy as np

from recogniser.graph.frame_constants import PitchConstants
from recogniser.graph.node_builder import END, Array, Given, NodeBuilder, Value, between, ints, number
from recogniser.graph.stretches import joined, padded, power, stretches

LOWEST = 60.0  # Hz, of which F0's logarithm is 0
VOICED = 0.6
_LAG_RATE = 8000


def fundamental(builder: NodeBuilder, sound: Value, frames: Value, hop: int, own: PitchConstants) -> list[Value]:
    """The logarithm of F0 over 60 Hz, 0 where unvoiced, and the voicing, each ``(batch, frames, 1)``."""
    frequency, strength = _candidates(builder, _correlation(builder, sound, frames, hop, own), own)
    median = _median_of_three(builder, _where(builder, "GreaterOrEqual", strength, VOICED, frequency))
    octaves = builder.op("Log", builder.op("Div", median, number(LOWEST)))
    return [_where(builder, "Greater", median, 0.0, octaves), builder.op("Clip", strength, number(0), number(1))]


def _where(builder: NodeBuilder, comparison: str, value: Value, bound: float, then: Given) -> Value:
    """``then`` where a comparison of a value with a bound holds, else 0."""
    return builder.op("Where", builder.op(comparison, value, number(bound)), then, number(0))


def _correlation(builder: NodeBuilder, sound: Value, frames: Value, hop: int, own: PitchConstants) -> Value:
    """The normalised autocorrelation at each lag, ``(batch, frames, lags)``."""
    kept = hop // own.step  # decimated samples a frame
    rows = math.ceil(len(own.window) / kept)
    size = (kept - 1) * own.step + len(own.taps)
    long = stretches(builder, sound, frames, hop, own.before, size, more=rows - 1)
    decimated = builder.op("MatMul", long, padded(_decimator(own, kept, size), hop))
    spectrum = power(builder, joined(builder, decimated, frames, rows, kept), own.window, own.points)
    products = builder.op("MatMul", spectrum, own.correlator)
    energy = builder.op("Add", between(builder, products, -1, END, 2), number(own.floor))
    return builder.op("Div", between(builder, products, 0, -1, 2), energy)


def _decimator(own: PitchConstants, kept: int, size: int) -> Array:
    """``(samples, kept)``: the filter's taps, shifted by the step a column."""
    matrix = np.zeros((size, kept), dtype=np.float32)
    for column in range(kept):
        matrix[column * own.step :][: len(own.taps), column] = own.taps
    return matrix


def _candidates(builder: NodeBuilder, correlation: Value, own: PitchConstants) -> tuple[Value, Value]:
    """Each frame's best peak, in Hz, and its strength, ``(batch, frames, 1)`` each; 0 Hz without a peak."""
    left, right = between(builder, correlation, 0, -2, 2), between(builder, correlation, 2, END, 2)
    middle = between(builder, correlation, 1, -1, 2)
    slope = builder.op("Sub", right, left)
    bend = builder.op("Sub", builder.op("Add", left, right), builder.op("Add", middle, middle))
    rise = builder.op("Div", builder.op("Mul", slope, slope), builder.op("Mul", bend, number(8)))
    peak = builder.op("And", builder.op("GreaterOrEqual", middle, left), builder.op("Greater", middle, right))
    height = builder.op("Where", peak, builder.op("Sub", middle, rise), number(-1))
    best = builder.op("ArgMax", builder.op("Add", height, own.bonus), axis=2, keepdims=1)
    strength, slope, bend = (builder.op("GatherElements", each, best, axis=2) for each in (height, slope, bend))
    shift = builder.op("Div", slope, builder.op("Mul", bend, number(-2 * _LAG_RATE)))
    period = builder.op("Add", builder.op("Gather", own.lags, best), shift)
    return _where(builder, "Greater", strength, 0.0, builder.op("Reciprocal", period)), strength


def _median_of_three(builder: NodeBuilder, track: Value) -> Value:
    """The median of each frame and its two neighbours, 0 beyond the ends, of ``(batch, frames, 1)``."""
    wide = builder.op("Pad", track, ints(0, 1, 0, 0, 1, 0))
    before, here, after = (between(builder, wide, start, end, 1) for start, end in ((0, -2), (1, -1), (2, END)))
    lower, upper = builder.op("Min", before, here), builder.op("Max", before, here)
    return builder.op("Max", lower, builder.op("Min", upper, after))
