"""A graph that grows node by node: what a computation over arrays would be in numpy, written down for ONNX Runtime.

Opset 17 is the first with layer normalisation, and older than every runtime that is still in use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
END = int(np.iinfo(np.int64).max)  # of a slice that goes to the end

Array = npt.NDArray[Any]
Value = str  # the name of an array that flows through the graph
Given = Value | Array  # an array is a constant


class NodeBuilder:
    """Collects nodes and constants; a constant that is used twice is kept once.

    Attributes:
        stage: what the names of the nodes that follow begin with.
    """

    def __init__(self) -> None:
        self.stage = ""
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}

    def op(self, kind: str, *given: Given, **attributes: Any) -> Value:
        """Add a node with one output, and return the output's name; ``given`` are its inputs, ``""`` for none."""
        return self.several(kind, 1, *given, **attributes)[0]

    def several(self, kind: str, outputs: int, *given: Given, **attributes: Any) -> list[Value]:
        """Add a node with some outputs."""
        named = [own if isinstance(own, str) else self._constant(own) for own in given]
        stem = f"{self.stage}/{kind.lower()}_{len(self._nodes)}"
        made = [stem] if outputs == 1 else [f"{stem}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, named, made, name=stem, **attributes))
        return made

    def _constant(self, array: Array) -> Value:
        exact = np.ascontiguousarray(array).reshape(array.shape)  # which makes a single number a row otherwise
        key = (exact.dtype.str, exact.shape, exact.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(exact, f"constant_{len(self._constants)}")
        return self._constants[key].name

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Mapping[Value, onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """All of it as a model.

        Args:
            inputs: as ``floats_of`` and ``whole_numbers_of`` make them; nodes refer to them by name.
            outputs: by the value that each of them is.
        """
        for value, told in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [told.name], name=told.name))
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, "fedser", list(inputs), list(outputs.values()), constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def floats_of(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    """An input or output of float32; a side that is free has a name."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def whole_numbers_of(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    """An input or output of int64."""
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def number(value: float) -> Array:
    """A constant of float32."""
    return np.array(value, dtype=np.float32)


def exact(value: float) -> Array:
    """A constant of float64."""
    return np.array(value, dtype=np.float64)


def whole(value: int) -> Array:
    """A constant of int64."""
    return np.array(value, dtype=np.int64)


def ints(*values: int) -> Array:
    """A constant row of int64."""
    return np.array(values, dtype=np.int64)


def count(builder: NodeBuilder, value: Value, axis: int) -> Value:
    """How long an array is along an axis, as a row of one int64."""
    return builder.op("Shape", value, start=axis, end=axis + 1)


def numbered(builder: NodeBuilder, length: Value) -> Value:
    """``[0, 1, …, length - 1]`` int64, of a length as ``count`` gives it."""
    end = builder.op("Squeeze", length, ints(0))
    return builder.op("Range", whole(0), end, whole(1))


def between(builder: NodeBuilder, value: Value, start: int, end: int, axis: int, step: int = 1) -> Value:
    """``value[start:end:step]`` along an axis."""
    return builder.op("Slice", value, ints(start), ints(end), ints(axis), ints(step))
