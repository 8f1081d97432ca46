from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from common.encoders.opening import describe_encoder, open_encoder
from common.errors import AudioError, UsageError
from tests.common.encoders.hub_folders import a_sound

WEIGHT = np.random.default_rng(0).standard_normal((3, 1, 400)).astype(np.float32)


def a_file(folder: Path, batched: bool = True, output: list[Any] | None = None, **value: Any) -> Path:
    """One convolution of 400 samples every 320, as frames of 3 features."""
    name: str
    shape: list[str | int | None]
    name, shape = value.get("input", ("signal", [1, "samples"] if batched else ["samples"]))
    axes = numpy_helper.from_array(np.array([1] if batched else [0, 1]), "axes")
    nodes = [
        helper.make_node("Unsqueeze", [name, "axes"], ["one"]),
        helper.make_node("Conv", ["one", "weight"], ["features"], strides=[320]),
        helper.make_node("Transpose", ["features"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("Squeeze", ["frames", "first"], ["flat"]),
    ]
    first = numpy_helper.from_array(np.array([0]), "first")
    inputs = [helper.make_tensor_value_info(name, value.get("type", TensorProto.FLOAT), shape)]
    inputs += value.get("more", [])
    made = helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, "frames", 3])
    if not batched:
        made = helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["frames", 3])
    outputs = [made] if output is None else output
    initializers = [numpy_helper.from_array(WEIGHT, "weight"), axes, first]
    graph = helper.make_graph(nodes, "encoder", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "encoder.onnx"
    onnx.save(model, path, **value.get("save", {}))
    return path


def by_hand(signal: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv1d(signal[None, None], torch.from_numpy(WEIGHT), stride=320)[0].T[None]


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("samples", [400, 16000, 16000 * 70 + 99])
def test_its_output_is_its_one_layer(tmp_path: Path, batched: bool, samples: int) -> None:
    encoder = open_encoder(a_file(tmp_path, batched))
    signal = a_sound(samples)
    made = encoder.frames(signal, 1)
    torch.testing.assert_close(made, by_hand(signal), atol=1e-4, rtol=0)
    assert not made.is_inference()


def test_it_is_told(tmp_path: Path) -> None:
    told = describe_encoder(a_file(tmp_path))
    assert (told.kind, told.layers, told.width, told.frame_seconds) == ("onnx", 1, 3, 0.02)


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_a_short_sound_has_a_frame(tmp_path: Path, samples: int) -> None:
    assert open_encoder(a_file(tmp_path)).frames(a_sound(samples), 1).shape == (1, 1, 3)


def test_there_is_no_second_layer(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layer is 2, expected 1 to 1"):
        open_encoder(a_file(tmp_path)).frames(a_sound(400), 2)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"input": ("signal", [1, 16000])}, "takes sounds of exactly 16000 samples"),
        ({"input": ("signal", [2, "samples"])}, "its inputs are signal"),
        ({"type": TensorProto.DOUBLE}, r"its inputs are signal .* tensor\(double\)|can be run"),
        ({"more": [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1])]}, "its inputs are signal .*, mask"),
        ({"output": [helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["f", 3])]}, "its outputs are flat"),
        (
            {"save": {"save_as_external_data": True, "size_threshold": 0, "location": "weights.bin"}},
            "weights and all in one",
        ),
    ],
)
def test_other_graphs_are_refused(tmp_path: Path, change: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        describe_encoder(a_file(tmp_path, **change))


def test_what_is_no_graph(tmp_path: Path) -> None:
    path = a_file(tmp_path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(UsageError, match="no ONNX file that can be run"):
        open_encoder(path)


def test_without_onnx_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return there(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UsageError, match=r"pip install fedser\[encoder\]"):
        open_encoder(a_file(tmp_path))


def test_a_sound_that_the_graph_refuses_is_the_recordings_loss(tmp_path: Path) -> None:
    """A table of positions of four seconds: in a private run nobody may see that somebody spoke for longer."""
    places = np.ones((199, 3), dtype=np.float32)
    nodes = [
        helper.make_node("Unsqueeze", ["signal", "axes"], ["one"]),
        helper.make_node("Conv", ["one", "weight"], ["features"], strides=[320]),
        helper.make_node("Transpose", ["features"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Shape", ["rows"], ["count"], start=1, end=2),
        helper.make_node("Squeeze", ["count"], ["last"]),
        helper.make_node("Range", ["zero", "last", "step"], ["order"]),
        helper.make_node("Gather", ["places", "order"], ["place"]),
        helper.make_node("Add", ["rows", "place"], ["frames"]),
    ]
    known = {"weight": WEIGHT, "places": places, "axes": np.array([1]), "zero": np.array(0), "step": np.array(1)}
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, [1, "samples"])],
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, "frames", 3])],
        [numpy_helper.from_array(value, name) for name, value in known.items()],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "encoder.onnx"
    )
    encoder = open_encoder(tmp_path / "encoder.onnx")
    assert encoder.frames(a_sound(48_000), 1).shape == (1, 149, 3)
    with pytest.raises(AudioError, match=r"an error of \d+ samples"):
        encoder.frames(torch.zeros(80_000), 1)
