"""Figures of all frames of an utterance, in which nothing is trained: means, contours, an encoder's one row."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from recogniser.graph.node_builder import END, Array, NodeBuilder, Value, between, count, ints, number, numbered
from recogniser.graph.window_rows import inside

COSINES = 4
_TYPICAL = math.log(300)
_NEAR = 5.0


@dataclass(frozen=True, kw_only=True)
class ContourColumns:
    """Which columns of a frame are looked at, as ``common.models.contours.Columns`` has them."""

    stack: int
    statics: tuple[int, ...]
    contours: tuple[int, ...]


def shares_of(builder: NodeBuilder, mask: Value) -> Value:
    """Each row's share in a mean over those inside, ``(batch, 1, rows)`` of a mask ``(batch, rows)``."""
    flags = builder.op("Cast", builder.op("Unsqueeze", mask, ints(1)), to=1)
    return builder.op("Div", flags, builder.op("ReduceSum", flags, ints(2), keepdims=1))


def mean_figures(builder: NodeBuilder, rows: Value, mask: Value) -> Value:
    """``FrameStatistics``: ``(batch, 2 features)``."""
    shares = shares_of(builder, mask)
    mean = builder.op("MatMul", shares, rows)
    rest = builder.op("Sub", rows, mean)
    deviation = builder.op("Sqrt", builder.op("MatMul", shares, builder.op("Mul", rest, rest)))
    spread = builder.op("Mul", builder.op("Sub", deviation, number(0.85)), number(4))
    both = builder.op("Concat", builder.op("Mul", mean, number(2)), spread, axis=2)
    near = builder.op("Clip", both, number(-_NEAR), number(_NEAR))
    return _of_length_one(builder, builder.op("Squeeze", near, ints(1)))


def row_figures(builder: NodeBuilder, rows: Value, mask: Value, centre: Array) -> Value:
    """``RowMean``: ``(batch, features)``."""
    near = builder.op("Clip", rows, number(-_NEAR), number(_NEAR))
    mean = builder.op("Squeeze", builder.op("MatMul", shares_of(builder, mask), near), ints(1))
    return _of_length_one(builder, builder.op("Sub", mean, centre))


def contour_figures(builder: NodeBuilder, rows: Value, lengths: Value, columns: ContourColumns, centre: Array) -> Value:
    """``Contours``: correlations, autocorrelations, courses and the length about a centre, ``(batch, figures)``."""
    frames, number_of = _normal_frames(builder, rows, lengths, columns)
    places = [columns.statics.index(column) for column in columns.contours]
    chosen = builder.op("Gather", frames, np.array(places, dtype=np.int64), axis=2)
    figures = [
        _pairs(builder, chosen, number_of, len(places)),
        _autocorrelation(builder, frames, number_of),
        _courses(builder, chosen, number_of, len(places)),
        _length(builder, number_of),
    ]
    return _of_length_one(builder, builder.op("Sub", builder.op("Concat", *figures, axis=1), centre))


def _normal_frames(builder: NodeBuilder, rows: Value, lengths: Value, columns: ContourColumns) -> tuple[Value, Value]:
    """Frames that are no derivatives, by their utterance's mean and deviation, 0 beyond; how many, ``(batch, 1)``."""
    stack = columns.stack
    single = apart(builder, rows, stack)
    frames = builder.op("Gather", single, np.array(columns.statics, dtype=np.int64), axis=2)
    many = builder.op("Mul", lengths, ints(stack))
    real = builder.op("Cast", builder.op("Unsqueeze", inside(builder, frames, many), ints(2)), to=1)
    number_of = builder.op("Cast", builder.op("Unsqueeze", many, ints(1)), to=1)
    mean = _mean(builder, builder.op("Mul", frames, real), number_of)
    centred = builder.op("Mul", builder.op("Sub", frames, mean), real)
    deviation = builder.op("Sqrt", _mean(builder, builder.op("Mul", centred, centred), number_of))
    return builder.op("Div", centred, builder.op("Max", deviation, number(1e-5))), number_of


def apart(builder: NodeBuilder, rows: Value, stack: int) -> Value:
    """``(batch, rows * stack, columns)`` of ``(batch, rows, stack * columns)``."""
    if stack == 1:
        return rows
    columns = builder.op("Div", count(builder, rows, 2), ints(stack))
    return builder.op("Reshape", rows, builder.op("Concat", ints(0, -1), columns, axis=0))


def _mean(builder: NodeBuilder, frames: Value, number_of: Value) -> Value:
    total = builder.op("ReduceSum", frames, ints(1), keepdims=1)
    return builder.op("Div", total, builder.op("Unsqueeze", number_of, ints(2)))


def _pairs(builder: NodeBuilder, chosen: Value, number_of: Value, contours: int) -> Value:
    together = builder.op("MatMul", builder.op("Transpose", chosen, perm=[0, 2, 1]), chosen)
    flat = builder.op("Reshape", together, ints(0, contours**2))
    first, second = np.triu_indices(contours, k=1)
    return builder.op("Div", builder.op("Gather", flat, first * contours + second, axis=1), number_of)


def _autocorrelation(builder: NodeBuilder, frames: Value, number_of: Value) -> Value:
    products = builder.op("Mul", between(builder, frames, 1, END, 1), between(builder, frames, 0, -1, 1))
    fewer = builder.op("Max", builder.op("Sub", number_of, number(1)), number(1))
    return builder.op("Div", builder.op("ReduceSum", products, ints(1), keepdims=0), fewer)


def _courses(builder: NodeBuilder, chosen: Value, number_of: Value, contours: int) -> Value:
    place = builder.op("Cast", numbered(builder, count(builder, chosen, 1)), to=1)
    time = builder.op("Unsqueeze", builder.op("Div", builder.op("Add", place, number(0.5)), number_of), ints(1))
    speeds = (np.pi * np.arange(1, COSINES + 1)).astype(np.float32)[:, None]
    far = builder.op("MatMul", builder.op("Cos", builder.op("Mul", time, speeds)), chosen)
    return builder.op("Div", builder.op("Reshape", far, ints(0, COSINES * contours)), number_of)


def _length(builder: NodeBuilder, number_of: Value) -> Value:
    about = builder.op("Sub", builder.op("Log", number_of), number(_TYPICAL))
    return builder.op("Clip", about, number(-2), number(2))


def _of_length_one(builder: NodeBuilder, figures: Value) -> Value:
    size = builder.op("ReduceL2", figures, axes=[1], keepdims=1)
    return builder.op("Div", figures, builder.op("Max", size, number(1e-12)))
