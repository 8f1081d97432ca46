"""ONNX files as bytes, as far as a small network needs them: its weights read, and a graph written without ``onnx``.

A file is a message of protobuf: fields, each with a number, a kind and a value. The numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32] | npt.NDArray[np.int64]

_OPSET, _IR_VERSION = 17, 8
_FLOAT, _INT64 = 1, 7
_ATTRIBUTE_INT, _ATTRIBUTE_INTS = 2, 7


def weights_of(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """The float32 arrays that a file keeps with its graph, by name.

    Raises:
        ValueError, IndexError, KeyError: it is no such file.
    """
    found = {}
    for number, graph in _fields(content):
        for place, tensor in _fields(graph) if number == 7 else ():
            if place == 5:
                name, array = _tensor(tensor)
                found[name] = array
    return found


def _tensor(content: bytes) -> tuple[str, npt.NDArray[np.float32]]:
    sides: list[int] = []
    told: dict[int, bytes] = {}
    for number, value in _fields(content):
        if number == 1:
            sides.append(_whole(value))
        told[number] = value
    return told[8].decode(), np.frombuffer(told[9], "<f4").reshape(sides)


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Each field's number and value; of a whole number the bytes that it is written in."""
    at = 0
    while at < len(content):
        key, at = _read(content, at)
        if key & 7 == 0:
            end = _read(content, at)[1]
        elif key & 7 == 2:
            size, at = _read(content, at)
            end = at + size
        else:
            end = at + {1: 8, 5: 4}[key & 7]
        yield key >> 3, content[at:end]
        at = end


def _read(content: bytes, at: int) -> tuple[int, int]:
    """A whole number, the lowest seven bits first, and where what follows begins."""
    end = at
    while content[end] & 128:
        end += 1
    return _whole(content[at : end + 1]), end + 1


def _whole(value: bytes) -> int:
    return sum((own & 127) << 7 * place for place, own in enumerate(value))


class GraphBytes:
    """A graph that is written node by node."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._kept: list[bytes] = []
        self._count = 0

    def op(self, kind: str, *given: str | Array, outputs: Sequence[str] = (), **attributes: int | Sequence[int]) -> str:
        """Add a node; arrays that it is given are kept with the graph. Returns its first output's name."""
        names = outputs or [self._name()]
        node = b"".join(_text(1, own if isinstance(own, str) else self._keep(own)) for own in given)
        node += b"".join(_text(2, name) for name in names) + _text(4, kind)
        self._nodes.append(node + b"".join(_part(5, _attribute(*own)) for own in attributes.items()))
        return names[0]

    def file(self, inputs: Mapping[str, Sequence[int | str]], outputs: Mapping[str, Sequence[int | str]]) -> bytes:
        """All of it, with float32 inputs and outputs of such sides, a free one by a name."""
        graph = b"".join(_part(1, own) for own in self._nodes) + _text(2, "fedser")
        graph += b"".join(_part(5, own) for own in self._kept)
        graph += b"".join(_part(11, _declared(*own)) for own in inputs.items())
        graph += b"".join(_part(12, _declared(*own)) for own in outputs.items())
        return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _text(1, "") + _number(2, _OPSET))

    def _name(self) -> str:
        self._count += 1
        return f"value_{self._count}"

    def _keep(self, array: Array) -> str:
        name, whole = self._name(), array.dtype == np.int64
        sides = b"".join(_number(1, side) for side in array.shape)
        content = np.ascontiguousarray(array).tobytes()
        self._kept.append(sides + _number(2, _INT64 if whole else _FLOAT) + _text(8, name) + _part(9, content))
        return name


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _ATTRIBUTE_INT)
    return _text(1, name) + b"".join(_number(8, own) for own in value) + _number(20, _ATTRIBUTE_INTS)


def _declared(name: str, sides: Sequence[int | str]) -> bytes:
    shape = b"".join(_part(1, _text(2, own) if isinstance(own, str) else _number(1, own)) for own in sides)
    return _text(1, name) + _part(2, _part(1, _number(1, _FLOAT) + _part(2, shape)))


def _written(value: int) -> bytes:
    value %= 1 << 64  # as whole numbers below 0 are written
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _number(field: int, value: int) -> bytes:
    return _written(field << 3) + _written(value)


def _part(field: int, content: bytes) -> bytes:
    return _written(field << 3 | 2) + _written(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())
