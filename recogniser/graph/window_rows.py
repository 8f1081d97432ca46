"""From a window's frames to the rows that a model sees: F0 bridged, frames joined, scaled; of each only its length."""

from __future__ import annotations

import numpy as np

from recogniser.graph.node_builder import Array, NodeBuilder, Value, count, exact, ints, number, numbered, whole

CONSTANT = 1e-5  # a deviation below it is a constant feature


def inside(builder: NodeBuilder, value: Value, lengths: Value) -> Value:
    """Whether each place along time lies in its length, bool ``(batch, time)`` of ``(batch, time, …)``."""
    return builder.op("Less", numbered(builder, count(builder, value, 1)), builder.op("Unsqueeze", lengths, ints(1)))


def bridged(builder: NodeBuilder, frames: Value, lengths: Value, column: int, columns: int) -> Value:
    """Frames whose F0 goes in straight lines over what is unvoiced, and is held at the ends.

    The voiced places are sorted to the front; how many there are up to a frame tells the one before and after it.

    Args:
        builder: of the graph.
        frames: ``(batch, time, columns)``.
        lengths: ``(batch,)``.
        column: of F0.
        columns: of a frame.
    """
    track = builder.op("Gather", frames, whole(column), axis=2)
    voiced = builder.op("And", builder.op("Greater", track, number(0)), inside(builder, frames, lengths))
    flags = builder.op("Cast", voiced, to=7)
    upto = builder.op("CumSum", flags, whole(1))
    last = builder.op("Max", builder.op("Sub", builder.op("ReduceSum", flags, ints(1), keepdims=1), ints(1)), ints(0))
    line = _line(builder, track, _sorted_places(builder, voiced), flags, upto, last)
    ever = builder.op("Greater", builder.op("ReduceMax", flags, axes=[1], keepdims=1), ints(0))
    spread = builder.op("Unsqueeze", builder.op("Where", ever, line, track), ints(2))
    return builder.op("Where", np.arange(columns) == column, spread, frames)


def _sorted_places(builder: NodeBuilder, voiced: Value) -> Value:
    """The voiced places in order, then the others, ``(batch, time)`` int64."""
    time = count(builder, voiced, 1)
    place = builder.op("Cast", numbered(builder, time), to=1)
    key = builder.op("Where", voiced, place, number(np.inf))
    return builder.several("TopK", 2, key, time, axis=1, largest=0, sorted=1)[1]


def _line(builder: NodeBuilder, track: Value, places: Value, flags: Value, upto: Value, last: Value) -> Value:
    ends = []
    for rank in (builder.op("Sub", upto, ints(1)), builder.op("Sub", upto, flags)):
        kept = builder.op("Max", builder.op("Min", rank, last), ints(0))
        place = builder.op("GatherElements", places, kept, axis=1)
        ends.append((builder.op("Cast", place, to=1), builder.op("GatherElements", track, place, axis=1)))
    (before, low), (after, high) = ends
    time = builder.op("Cast", numbered(builder, count(builder, track, 1)), to=1)
    gap = builder.op("Max", builder.op("Sub", after, before), number(1))
    share = builder.op("Div", builder.op("Sub", time, before), gap)
    rise = builder.op("Mul", builder.op("Sub", high, low), share)
    return builder.op("Add", low, rise)


def stacked(builder: NodeBuilder, frames: Value, lengths: Value, stack: int, columns: int) -> tuple[Value, Value]:
    """Rows of so many joined frames, the last frame repeated to fill the last row, and each window's rows.

    Args:
        builder: of the graph.
        frames: ``(batch, time, columns)``.
        lengths: ``(batch,)`` in frames.
        stack: frames of a row.
        columns: of a frame.

    Returns:
        ``(batch, rows, stack * columns)``, and ``(batch,)`` int64.
    """
    if stack == 1:
        return frames, lengths
    end = builder.op("Unsqueeze", builder.op("Sub", lengths, ints(1)), ints(1))
    last = builder.op("Unsqueeze", builder.op("GatherND", frames, end, batch_dims=1), ints(1))
    mask = builder.op("Unsqueeze", inside(builder, frames, lengths), ints(2))
    held = builder.op("Where", mask, frames, last)
    missing = builder.op("Mod", builder.op("Neg", count(builder, frames, 1)), ints(stack))
    pads = builder.op("Concat", ints(0, 0, 0, 0), missing, ints(0), axis=0)
    full = builder.op("Pad", held, pads, mode="edge")
    rows = builder.op("Reshape", full, ints(0, -1, stack * columns))
    return rows, builder.op("Div", builder.op("Add", lengths, ints(stack - 1)), ints(stack))


def scaled(builder: NodeBuilder, rows: Value, mean: Value | Array, deviation: Value | Array) -> Value:
    """``(batch, rows, dimension)`` less a mean, over a deviation, ``(batch, dimension)`` each or constant."""
    centred = builder.op("Sub", rows, _by_row(builder, mean))
    return builder.op("Div", centred, _by_row(builder, deviation))


def _by_row(builder: NodeBuilder, value: Value | Array) -> Value | Array:
    return builder.op("Unsqueeze", value, ints(1)) if isinstance(value, str) else value


def scaled_by_itself(builder: NodeBuilder, rows: Value) -> Value:
    """Each of ``(batch, rows, dimension)`` by its own mean and deviation; a feature that is constant is only centred.

    In float64, as ``common.data.normalise.Sums`` are.
    """
    doubled = builder.op("Cast", rows, to=11)
    mean = builder.op("ReduceMean", doubled, axes=[1], keepdims=1)
    square = builder.op("ReduceMean", builder.op("Mul", doubled, doubled), axes=[1], keepdims=1)
    variance = builder.op("Sub", square, builder.op("Mul", mean, mean))
    spread = builder.op("Sqrt", builder.op("Max", variance, exact(0)))
    deviation = builder.op("Where", builder.op("Greater", spread, exact(CONSTANT)), spread, exact(1))
    centred = builder.op("Sub", rows, builder.op("Cast", mean, to=1))
    return builder.op("Div", centred, builder.op("Cast", deviation, to=1))
