"""Silero's network (MIT licence), over some frames of some streams at once.

Its own file takes the frames of one stream, and convolves each frame's four steps, then two, then one, for which ONNX
Runtime's convolutions take three times as long as products of matrices. So its weights are written into another graph,
which does the same sums.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from recogniser.sound.onnx_bytes import GraphBytes, weights_of

SEEN = 576  # samples, of which 512 are the frame and those before them its context
HIDDEN = 128  # numbers of the LSTM's state, and as many of its cell
_STEP, _BASIS, _BINS = 128, 256, 129  # samples from spectrum to spectrum, under each, and its bins
_END = np.iinfo(np.int64).max

Weights = Mapping[str, npt.NDArray[np.float32]]


def network(content: bytes) -> bytes:
    """An ONNX file with the inputs ``sound (frames, streams, SEEN)``, ``h`` and ``c (1, streams, HIDDEN)``.

    Its outputs are ``speech (frames, streams)``, ``hn`` and ``cn``.

    Args:
        content: of Silero's own file.

    Raises:
        KeyError, ValueError, IndexError: it is of another version.
    """
    weights, graph = weights_of(content), GraphBytes()
    spectra = _spectra(graph, weights["stft.forward_basis_buffer"])
    steps = _convolved(graph, spectra, weights, "encoder.0", ((0, 4, 1), (1, 5, 1), (2, 6, 1)))
    steps = _convolved(graph, steps, weights, "encoder.1", ((0, 4, 2), (1, 5, 2), (2, 6, 2)))
    both = graph.op("Reshape", steps, _ints(-1, 1, 2 * 64))
    steps = _product(graph, both, _taps(weights["encoder.2.weight"][:, :, 1:]), weights["encoder.2.bias"])
    code = _product(graph, steps, _taps(weights["encoder.3.weight"][:, :, 1:2]), weights["encoder.3.bias"])
    sides = graph.op("Concat", graph.op("Shape", "sound", start=0, end=2), _ints(HIDDEN), axis=0)
    in_time = graph.op("Reshape", code, sides)
    lstm = [weights[f"onnx::LSTM_{number}"] for number in (209, 210, 211)]
    heard = graph.op("LSTM", in_time, *lstm, "", "h", "c", outputs=["heard", "hn", "cn"], hidden_size=HIDDEN)
    heard = graph.op("Relu", graph.op("Squeeze", heard, _ints(1)))
    found = graph.op("MatMul", heard, weights["output.weight"].reshape(HIDDEN, 1))
    found = graph.op("Sigmoid", graph.op("Add", found, weights["output.bias"]))
    graph.op("Squeeze", found, _ints(2), outputs=["speech"])
    state = (1, "streams", HIDDEN)
    return graph.file(
        {"sound": ("frames", "streams", SEEN), "h": state, "c": state},
        {"speech": ("frames", "streams"), "hn": state, "cn": state},
    )


def _spectra(graph: GraphBytes, basis: npt.NDArray[np.float32]) -> str:
    """The magnitudes ``(all frames, 4, bins)``; the last samples are mirrored."""
    rows = graph.op("Reshape", "sound", _ints(-1, SEEN))
    mirrored = graph.op("Slice", rows, _ints(SEEN - 2), _ints(SEEN - 2 - 64), _ints(1), _ints(-1))
    blocks = graph.op("Reshape", graph.op("Concat", rows, mirrored, axis=1), _ints(-1, 5, _STEP))
    under = graph.op("Concat", *(_steps(graph, blocks, at, at + 4) for at in (0, 1)), axis=2)
    waves = graph.op("MatMul", under, _taps(basis))
    squares = graph.op("Mul", waves, waves)
    halves = [graph.op("Slice", squares, _ints(at), _ints(at + _BINS), _ints(2)) for at in (0, _BINS)]
    return graph.op("Sqrt", graph.op("Add", *halves))


def _convolved(
    graph: GraphBytes, steps: str, weights: Weights, name: str, under: tuple[tuple[int, int, int], ...]
) -> str:
    """A convolution over three steps, with zeros at the ends; ``under`` which each of the three lies on."""
    wide = graph.op("Pad", steps, _ints(0, 1, 0, 0, 1, 0))
    seen = graph.op("Concat", *(_steps(graph, wide, *own) for own in under), axis=2)
    return _product(graph, seen, _taps(weights[f"{name}.weight"]), weights[f"{name}.bias"])


def _product(graph: GraphBytes, rows: str, matrix: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]) -> str:
    return graph.op("Relu", graph.op("Add", graph.op("MatMul", rows, matrix), bias))


def _steps(graph: GraphBytes, value: str, start: int, end: int, step: int = 1) -> str:
    return graph.op("Slice", value, _ints(start), _ints(end), _ints(1), _ints(step))


def _taps(kernel: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """``(width * inputs, outputs)`` of ``(outputs, inputs, width)``."""
    return kernel.transpose(2, 1, 0).reshape(-1, len(kernel))


def _ints(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)
