"""An encoder as an ONNX file, run by ONNX Runtime: ``(samples)`` to ``(frames, features)``, each after a 1 or not.

Its graph is data: operators that ONNX Runtime brings, and no code. Weights in files beside it are refused, for the
file's hash wouldn't say what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from common.encoders.blocks import Blocks
from common.encoders.public_encoder import SAMPLING_RATE
from common.errors import AudioError, UsageError
from common.validate import in_range

_LARGEST = (1 << 31) - 1  # bytes, of what the format can hold in one file
_SHORTEST = (400, 1600, SAMPLING_RATE)  # samples; shorter sounds are filled up to the first of them that it takes
_UNITS = 15  # of 2 s, a block
_EXPECTED = "expected one input (samples) or (1, samples) of float32 and an output (frames, features) of its frames"


class OnnxEncoder:
    """An encoder in one file; its output is its one layer.

    How many frames it gives a second is measured on silence when it is opened. A sound of more than 30 s goes in
    blocks of that length.

    Args:
        path: of the file.

    Raises:
        UsageError: ONNX Runtime is missing, or the file is no encoder of this kind.
    """

    kind = "onnx"
    layers = 1
    settings: Mapping[str, Mapping[str, Any]] = {}  # all is in the file

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session = _session(path)
        self._name, self._batched = self._input()
        self._output = self._frames_output()
        self._shortest = next((length for length in _SHORTEST if self._count(length)), 0)
        if not self._shortest:
            raise UsageError(f"{path}: no frames of a second of silence; {_EXPECTED}")
        self._per_unit = self._count(3 * SAMPLING_RATE) - self._count(SAMPLING_RATE)
        if self._per_unit < 1:
            raise UsageError(f"{path}: as many frames of one second as of three; {_EXPECTED}")
        self.frame_seconds = 2 / self._per_unit
        self._blocks = Blocks(samples=2 * SAMPLING_RATE, frames=self._per_unit, units=_UNITS)

    @cached_property
    def width(self) -> int:
        """Features of a frame."""
        return self._encode(torch.zeros(self._shortest)).shape[-1]

    def frames(self, signal: torch.Tensor, upto: int) -> torch.Tensor:
        """As ``PublicEncoder.frames``.

        Raises:
            AudioError: the graph refuses the sound.
        """
        in_range("the encoder's layer", upto, 1, self.layers)
        return self._blocks.encode(signal.detach(), self._encode)

    def _encode(self, signal: torch.Tensor) -> torch.Tensor:
        """``(samples,)`` to ``(1, frames, features)``."""
        signal = functional.pad(signal, (0, max(0, self._shortest - len(signal))))
        made = self._run(signal)
        if made is None or made.ndim != 2 + self._batched or 0 in made.shape or (self._batched and len(made) != 1):
            shape = "an error" if made is None else made.shape
            raise AudioError("encoder", f"{self._path.name}: {shape} of {len(signal)} samples; {_EXPECTED}")
        return torch.from_numpy(made).float().reshape(1, *made.shape[-2:]).clone()

    def _run(self, signal: torch.Tensor) -> Any:
        """The output's array; None where ONNX Runtime refuses the sound."""
        values = (signal[None] if self._batched else signal).numpy()
        try:
            return self._session.run([self._output], {self._name: values})[0]
        except Exception:  # its own exceptions share no class; whatever it says is of this file
            return None

    def _count(self, samples: int) -> int:
        """Frames of so much silence, 0 where it takes none."""
        made = self._run(torch.zeros(samples))
        return made.shape[-2] if made is not None and made.ndim == 2 + self._batched else 0

    def _input(self) -> tuple[str, int]:
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        good = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shape) in (1, 2)
        if not good or (len(shape) == 2 and isinstance(shape[0], int) and shape[0] != 1):
            found = ", ".join(f"{own.name} {own.shape} {own.type}" for own in inputs)
            raise UsageError(f"{self._path}: its inputs are {found or 'none'}; {_EXPECTED}")
        if isinstance(shape[-1], int):
            raise UsageError(f"{self._path}: takes sounds of exactly {shape[-1]} samples; {_EXPECTED}")
        return inputs[0].name, len(shape) - 1

    def _frames_output(self) -> str:
        """The first output that can be frames."""
        for output in self._session.get_outputs():
            if output.type.startswith("tensor(float") and len(output.shape) == 2 + self._batched:
                return str(output.name)
        found = ", ".join(f"{own.name} {own.shape} {own.type}" for own in self._session.get_outputs())
        raise UsageError(f"{self._path}: its outputs are {found}; {_EXPECTED}")


def _session(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError(f"{path}: ONNX files need ONNX Runtime: pip install fedser[encoder]") from None
    onnxruntime.disable_telemetry_events()
    if path.stat().st_size > _LARGEST:
        raise UsageError(f"{path}: larger than 2 GB, expected an ONNX file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the cores are shared out among processes already
    options.log_severity_level = 4
    # Weights in other files are looked for here, and there are none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/dev/null/none")
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception:  # its own exceptions share no class; whatever it says is of this file
        raise UsageError(f"{path}: no ONNX file that can be run, weights and all in one; download it again") from None
