"""A whole model: from scaled rows to the probabilities of the classes, of each kind that a run can have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recogniser.graph.attention_nodes import attention_block, self_attention, with_positions
from recogniser.graph.frame_convolutions import frame_convolution, utterance_norm
from recogniser.graph.layers import (
    Weights,
    attentive_statistics,
    bilstm,
    layer_norm,
    linear,
    listed,
    part,
    projected,
)
from recogniser.graph.node_builder import END, Array, NodeBuilder, Value, between, ints, number
from recogniser.graph.utterance_figures import (
    ContourColumns,
    apart,
    contour_figures,
    mean_figures,
    row_figures,
    shares_of,
)
from recogniser.graph.window_rows import inside


@dataclass(frozen=True, kw_only=True, eq=False)
class Architecture:
    """What of a model its weights don't tell.

    Attributes:
        kind: of the model.
        temperature: by which its logits are divided.
        heads: of self-attention.
        statistics: what the classifier sees of the rows, beside what the kind reads or alone; ``none`` for nothing.
        columns: that ``contours`` look at.
        stack: how many frames the image of ``crnn3d`` takes a row apart into.
        planes: the image's columns ``(colours, bands)``.
        mixed: how many numbers of a row each of an encoder's weighed layers has; 0 where none is weighed.
        components: the directions ``(kept, features)`` that scaled rows are brought to.
    """

    kind: str
    temperature: float = 1.0
    heads: int = 1
    statistics: str = "none"
    columns: ContourColumns | None = None
    stack: int = 1
    planes: Array | None = None
    mixed: int = 0
    components: Array | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Utterances:
    """What a kind of model reads.

    Attributes:
        rows: ``(batch, rows, features)``.
        lengths: ``(batch,)``.
        mask: ``(batch, rows)``.
    """

    rows: Value
    lengths: Value
    mask: Value


Reader = Callable[[NodeBuilder, Utterances, Weights, Architecture], tuple[Value, ...]]


def probabilities(
    builder: NodeBuilder, architecture: Architecture, rows: Value, lengths: Value, weights: Weights
) -> Value:
    """``(batch, classes)``.

    Args:
        builder: of the graph.
        architecture: of the model.
        rows: ``(batch, rows, features)``, scaled.
        lengths: ``(batch,)`` in rows.
        weights: of the model, by name.
    """
    if architecture.components is not None:
        rows = builder.op("MatMul", rows, architecture.components.T)
    if architecture.mixed:
        rows = _mixed(builder, rows, weights["mix.weights"], architecture.mixed)
    given = Utterances(rows=rows, lengths=lengths, mask=inside(builder, rows, lengths))
    seen = [*_READERS[architecture.kind](builder, given, weights, architecture)]
    seen += _figures(builder, given, weights, architecture)
    both = builder.op("Concat", *seen, axis=1) if len(seen) > 1 else seen[0]
    logits = linear(builder, both, part(weights, "classifier"))
    return builder.op("Softmax", builder.op("Div", logits, number(architecture.temperature)), axis=1)


def _mixed(builder: NodeBuilder, rows: Value, weights: Array, each: int) -> Value:
    """``LayerMix``: the layers' mean, and what stands beside them."""
    shares = np.exp(weights - weights.max())
    shares = (shares / shares.sum()).astype(np.float32)
    upto = len(weights) * each
    layers = builder.op("Reshape", between(builder, rows, 0, upto, 2), ints(0, 0, len(weights), each))
    weighed = builder.op("Mul", layers, shares[:, None])
    one = builder.op("ReduceSum", weighed, ints(2), keepdims=0)
    return builder.op("Concat", one, between(builder, rows, upto, END, 2), axis=2)


def _figures(builder: NodeBuilder, given: Utterances, weights: Weights, own: Architecture) -> list[Value]:
    if own.statistics == "means":
        return [mean_figures(builder, given.rows, given.mask)]
    if own.statistics == "rows":
        return [row_figures(builder, given.rows, given.mask, weights["statistics.centre"])]
    if own.columns is not None:
        return [contour_figures(builder, given.rows, given.lengths, own.columns, weights["statistics.centre"])]
    return []


def _nothing(builder: NodeBuilder, given: Utterances, weights: Weights, own: Architecture) -> tuple[Value, ...]:  # noqa: ARG001 - a linear model sees figures alone
    return ()


def _bilstm(builder: NodeBuilder, given: Utterances, weights: Weights, _: Architecture) -> tuple[Value, ...]:
    heard = bilstm(builder, projected(builder, given.rows, weights), given.lengths, part(weights, "lstm"))
    return (attentive_statistics(builder, heard, given.mask, part(weights, "pool"), centred=False),)


def _transformer(builder: NodeBuilder, given: Utterances, weights: Weights, own: Architecture) -> tuple[Value, ...]:
    width = len(weights["projection.bias"])
    frames = with_positions(builder, projected(builder, given.rows, weights), width)
    for block in listed(weights, "blocks"):
        frames = attention_block(builder, frames, given.mask, block, own.heads)
    last = layer_norm(builder, frames, part(weights, "last"))
    return (attentive_statistics(builder, last, given.mask, part(weights, "pool"), centred=True),)


def _convolutional(builder: NodeBuilder, given: Utterances, weights: Weights, _: Architecture) -> tuple[Value, ...]:
    frames = builder.op("Transpose", projected(builder, given.rows, weights), perm=[0, 2, 1])
    mask = builder.op("Unsqueeze", given.mask, ints(1))
    shares = builder.op("Transpose", shares_of(builder, given.mask), perm=[0, 2, 1])
    width = len(weights["projection.bias"])
    for convolution, norm in zip(listed(weights, "convolutions"), listed(weights, "norms"), strict=True):
        found = frame_convolution(builder, frames, mask, convolution)
        found = builder.op("Relu", utterance_norm(builder, found, shares, norm))
        channels = len(norm["scale.weight"])
        frames = builder.op("Add", frames, found) if channels == width else found
        width = channels
    by_frame = builder.op("Transpose", frames, perm=[0, 2, 1])
    return (attentive_statistics(builder, by_frame, given.mask, part(weights, "pool"), centred=True),)


def _convolutional_recurrent(
    builder: NodeBuilder, given: Utterances, weights: Weights, own: Architecture
) -> tuple[Value, ...]:
    seen = _image(builder, given, weights, own)
    beside = builder.op("Concat", seen, given.rows, axis=2)
    heard = bilstm(builder, projected(builder, beside, weights), given.lengths, part(weights, "lstm"))
    looked = self_attention(builder, heard, given.mask, part(weights, "attention"), own.heads)
    both = builder.op("Add", heard, looked)
    return (attentive_statistics(builder, both, given.mask, part(weights, "pool"), centred=True),)


def _image(builder: NodeBuilder, given: Utterances, weights: Weights, own: Architecture) -> Value:
    """What two convolutions find in the image of an utterance, ``(batch, rows, channels * bands)``."""
    planes = np.zeros((0, 0), dtype=np.int64) if own.planes is None else own.planes
    shares = builder.op("Transpose", shares_of(builder, given.mask), perm=[0, 2, 1])
    single = apart(builder, given.rows, own.stack)
    seen = builder.op("Transpose", builder.op("Gather", single, planes, axis=2), perm=[0, 2, 1, 3])
    bands, step = planes.shape[1], own.stack
    mask = inside(builder, single, builder.op("Mul", given.lengths, ints(own.stack)))
    for convolution, norm in zip(listed(weights, "convolutions"), listed(weights, "norms"), strict=True):
        shown = builder.op("Where", builder.op("Unsqueeze", mask, ints(1, 3)), seen, number(0))
        found = _over_image(builder, shown, convolution, step)
        found = builder.op("Relu", utterance_norm(builder, found, shares, norm, image=True))
        seen, bands = _strongest(builder, found, bands), (bands + 1) // 2
        step, mask = 1, given.mask
    by_row = builder.op("Transpose", seen, perm=[0, 2, 1, 3])
    return builder.op("Reshape", by_row, ints(0, 0, -1))


def _over_image(builder: NodeBuilder, shown: Value, own: Weights, step: int) -> Value:
    time, bands = (side // 2 for side in own["weight"].shape[2:])
    return builder.op("Conv", shown, own["weight"], own["bias"], strides=[step, 1], pads=[time, bands, time, bands])


def _strongest(builder: NodeBuilder, found: Value, bands: int) -> Value:
    """The larger of each two neighbouring bands, none of which is below 0; an odd one stays alone."""
    return builder.op("MaxPool", found, kernel_shape=[1, 2], strides=[1, 2], pads=[0, 0, 0, bands % 2])


_READERS: dict[str, Reader] = {
    "bilstm": _bilstm,
    "cnn1d": _convolutional,
    "crnn3d": _convolutional_recurrent,
    "dscnn": _convolutional,
    "linear": _nothing,
    "lstm": _bilstm,
    "transformer": _transformer,
}
