"""The layers that kinds of models are made of, as nodes; weights are arrays by the names that torch gives them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recogniser.graph.node_builder import Array, NodeBuilder, Value, ints, number

Weights = Mapping[str, Array]
_EPSILON = 1e-5  # torch's, in layer normalisation
_GATES = (0, 3, 1, 2)  # torch has input, forget, cell, output; ONNX input, output, forget, cell


def part(weights: Weights, name: str) -> dict[str, Array]:
    """The weights of a layer, without its name."""
    return {key.removeprefix(f"{name}."): own for key, own in weights.items() if key.startswith(f"{name}.")}


def listed(weights: Weights, name: str) -> list[dict[str, Array]]:
    """The weights of each of a list's layers, in order."""
    own = part(weights, name)
    numbers = {int(key.partition(".")[0]) for key in own}
    return [part(own, str(number)) for number in sorted(numbers)]


def linear(builder: NodeBuilder, value: Value, own: Weights) -> Value:
    """``nn.Linear`` along the last axis."""
    return builder.op("Add", builder.op("MatMul", value, own["weight"].T), own["bias"])


def layer_norm(builder: NodeBuilder, value: Value, own: Weights) -> Value:
    """``nn.LayerNorm`` along the last axis."""
    return builder.op("LayerNormalization", value, own["weight"], own["bias"], axis=-1, epsilon=_EPSILON)


def projected(builder: NodeBuilder, rows: Value, weights: Weights) -> Value:
    """``projection``, ``norm`` and a rectifier, with which most kinds begin."""
    normal = layer_norm(builder, linear(builder, rows, part(weights, "projection")), part(weights, "norm"))
    return builder.op("Relu", normal)


def bilstm(builder: NodeBuilder, rows: Value, lengths: Value, own: Weights) -> Value:
    """``common.models.bilstm.BiLSTM``: ``(batch, rows, directions * hidden)``, zeros beyond a length."""
    value = builder.op("Transpose", rows, perm=[1, 0, 2])
    short = builder.op("Cast", lengths, to=6)
    hidden = own["weight_hh_l0"].shape[1]
    layers = sum(name.startswith("weight_ih_") and not name.endswith("_reverse") for name in own)
    both = "weight_ih_l0_reverse" in own
    direction = "bidirectional" if both else "forward"
    for layer in range(layers):
        given = [_directions(own, name, layer) for name in ("weight_ih", "weight_hh")]
        bias = np.concatenate([_directions(own, name, layer) for name in ("bias_ih", "bias_hh")], axis=1)
        found = builder.op("LSTM", value, *given, bias, short, direction=direction, hidden_size=hidden)
        by_time = builder.op("Transpose", found, perm=[0, 2, 1, 3])
        value = builder.op("Reshape", by_time, ints(0, 0, (1 + both) * hidden))
    return builder.op("Transpose", value, perm=[1, 0, 2])


def _directions(own: Weights, name: str, layer: int) -> Array:
    names = [f"{name}_l{layer}{suffix}" for suffix in ("", "_reverse")]
    both = [own[each] for each in names if each in own]
    return np.stack([np.concatenate([np.split(each, 4)[gate] for gate in _GATES]) for each in both])


def attentive_statistics(builder: NodeBuilder, rows: Value, mask: Value, own: Weights, *, centred: bool) -> Value:
    """``common.models.bilstm_attention.AttentiveStatistics``: ``(batch, 2 features)``."""
    hidden = builder.op("Tanh", linear(builder, rows, part(own, "hidden")))
    scores = builder.op("Squeeze", linear(builder, hidden, part(own, "score")), ints(2))
    weights = builder.op("Softmax", builder.op("Where", mask, scores, number(-np.inf)), axis=1)
    across = builder.op("Unsqueeze", weights, ints(1))
    mean = builder.op("MatMul", across, rows)
    rest = builder.op("Sub", rows, mean) if centred else rows
    variance = builder.op("MatMul", across, builder.op("Mul", rest, rest))
    if not centred:
        variance = builder.op("Sub", variance, builder.op("Mul", mean, mean))
    deviation = builder.op("Sqrt", builder.op("Max", variance, number(1e-6)))
    return builder.op("Squeeze", builder.op("Concat", mean, deviation, axis=2), ints(1))
