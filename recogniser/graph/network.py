"""A whole model: from scaled rows to the probabilities of the classes, of each kind that a run can have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recogniser.graph.layers import Weights, attentive_statistics, bilstm, linear, part, projected
from recogniser.graph.node_builder import NodeBuilder, Value, number
from recogniser.graph.window_rows import inside

Reader = Callable[[NodeBuilder, Value, Value, Value, Weights], Value]  # builder, rows, lengths, mask, weights


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What of a model's settings its weights don't tell.

    Attributes:
        kind: of the model.
        temperature: by which its logits are divided.
    """

    kind: str
    temperature: float


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
    mask = inside(builder, rows, lengths)
    seen = _READERS[architecture.kind](builder, rows, lengths, mask, weights)
    logits = linear(builder, seen, part(weights, "classifier"))
    return builder.op("Softmax", builder.op("Div", logits, number(architecture.temperature)), axis=1)


def _bilstm(builder: NodeBuilder, rows: Value, lengths: Value, mask: Value, weights: Weights) -> Value:
    heard = bilstm(builder, projected(builder, rows, weights), lengths, part(weights, "lstm"))
    return attentive_statistics(builder, heard, mask, part(weights, "pool"), centred=False)


_READERS: dict[str, Reader] = {"bilstm": _bilstm}
