"""Self-attention over an utterance's frames, as ``common.models.self_attention`` has it."""

from __future__ import annotations

import math

import numpy as np

from recogniser.graph.layers import Weights, layer_norm, linear, part
from recogniser.graph.node_builder import NodeBuilder, Value, count, ints, number, numbered


def self_attention(builder: NodeBuilder, frames: Value, mask: Value, own: Weights, heads: int) -> Value:
    """``SelfAttention``: ``(batch, frames, width)`` of the same.

    Args:
        builder: of the graph.
        frames: ``(batch, frames, width)``.
        mask: ``(batch, frames)``.
        own: of the layer.
        heads: that look separately.
    """
    width = own["output.weight"].shape[1]
    parts = builder.op("Reshape", linear(builder, frames, part(own, "inputs")), ints(0, 0, 3, heads, width // heads))
    by_head = builder.op("Transpose", parts, perm=[2, 0, 3, 1, 4])
    split = builder.several("Split", 3, by_head, ints(1, 1, 1), axis=0)
    query, key, value = (builder.op("Squeeze", each, ints(0)) for each in split)
    nearness = builder.op("MatMul", query, builder.op("Transpose", key, perm=[0, 1, 3, 2]))
    scores = builder.op("Mul", nearness, number(1 / math.sqrt(width // heads)))
    seen = builder.op("Where", builder.op("Unsqueeze", mask, ints(1, 2)), scores, number(-np.inf))
    found = builder.op("MatMul", builder.op("Softmax", seen, axis=3), value)
    joined = builder.op("Reshape", builder.op("Transpose", found, perm=[0, 2, 1, 3]), ints(0, 0, width))
    return linear(builder, joined, part(own, "output"))


def attention_block(builder: NodeBuilder, frames: Value, mask: Value, own: Weights, heads: int) -> Value:
    """``AttentionBlock``: self-attention and each frame's own layer, each added to what came in."""
    before = layer_norm(builder, frames, part(own, "before_attention"))
    attended = builder.op("Add", frames, self_attention(builder, before, mask, part(own, "attention"), heads))
    before = layer_norm(builder, attended, part(own, "before_layer"))
    inner = builder.op("Relu", linear(builder, before, part(own, "inner")))
    return builder.op("Add", attended, linear(builder, inner, part(own, "outer")))


def with_positions(builder: NodeBuilder, frames: Value, width: int) -> Value:
    """Frames and where each of them is, in sines and cosines."""
    rates = np.float32(10_000) ** (-np.arange(0, width, 2, dtype=np.float32) / np.float32(width))
    place = builder.op("Cast", builder.op("Unsqueeze", numbered(builder, count(builder, frames, 1)), ints(1)), to=1)
    angle = builder.op("Unsqueeze", builder.op("Mul", place, rates.astype(np.float32)), ints(2))
    pairs = builder.op("Concat", builder.op("Sin", angle), builder.op("Cos", angle), axis=2)
    flat = builder.op("Reshape", pairs, ints(0, 2 * len(rates)))
    if width % 2:
        flat = builder.op("Slice", flat, ints(0), ints(width), ints(1))
    return builder.op("Add", frames, flat)
