"""A file of weights in the safetensors format: names and shapes checked at once, each weight read when asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from common.errors import UsageError
from common.storage.openable import openable

Shapes = Mapping[str, tuple[int, ...]]
_TYPES = ("F16", "BF16", "F32")


class WeightsFile:
    """The weights of an encoder, which may have other parts of a model beside them.

    The file stays open: what is put in its place later is not read. Only weights that are asked for take memory, as
    float32, so that a model's decoder and the layers above the chosen one take none.

    Args:
        path: of the file.
        prefixes: what the names may begin with, the likeliest first.
        probe: a name that tells which of these it is.

    Raises:
        UsageError: it is not there, cut short, or holds no such encoder.
    """

    def __init__(self, path: Path, prefixes: Sequence[str], probe: str) -> None:
        self.path = path
        try:
            with openable(path) as own:
                opened: Any = safe_open(own, framework="pt")
        except (OSError, SafetensorError) as error:
            why = getattr(error, "strerror", None) or "not a whole safetensors file"
            raise UsageError(f"{path}: {why}; download it again, or its folder") from None
        self._file = opened
        self._names = frozenset(opened.keys())
        self._read: dict[str, torch.Tensor] = {}
        found = [prefix for prefix in prefixes if prefix + probe in self._names]
        if not found:
            raise UsageError(f"{path}: no {probe}, expected the encoder that config.json beside it describes")
        self._prefix = found[0]

    def has(self, name: str) -> bool:
        """Whether there is such a weight."""
        return self._prefix + name in self._names

    def __getitem__(self, name: str) -> torch.Tensor:
        """A weight, as float32.

        Raises:
            UsageError: the disk fails, or a number is not finite.
        """
        if name not in self._read:
            try:
                weight: torch.Tensor = self._file.get_tensor(self._prefix + name).float()
            except (OSError, SafetensorError) as error:
                raise UsageError(f"{self.path}: {name} cannot be read ({error})") from None
            if not weight.isfinite().all():
                raise UsageError(f"{self.path}: {name} holds numbers that are not finite; download it again")
            self._read[name] = weight
        return self._read[name]

    def found(self, name: str) -> torch.Tensor | None:
        """A weight that an encoder may lack."""
        return self[name] if self.has(name) else None

    def check(self, shapes: Shapes) -> None:
        """Compare names, shapes and types with what the settings say, without reading a weight.

        Raises:
            UsageError: one is missing, or another than expected.
        """
        for name, shape in shapes.items():
            if not self.has(name):
                raise UsageError(f"{self.path}: lacks {name}, which config.json beside it asks for")
            entry = self._file.get_slice(self._prefix + name)
            if (found := tuple(entry.get_shape())) != shape:
                raise UsageError(f"{self.path}: {name} is {_by(found)}, config.json beside it asks for {_by(shape)}")
            if (kind := entry.get_dtype()) not in _TYPES:
                raise UsageError(f"{self.path}: {name} is of type {kind}, expected {', '.join(_TYPES)}")
            self._check_bias(name, shape, shapes)

    def _check_bias(self, name: str, shape: tuple[int, ...], shapes: Shapes) -> None:
        """A linear layer's, which an encoder may have or lack, and which is used where it is there."""
        bias = name.removesuffix("weight") + "bias"
        if name.endswith(".weight") and len(shape) == 2 and bias not in shapes and self.has(bias):
            found = tuple(self._file.get_slice(self._prefix + bias).get_shape())
            if found != shape[:1]:
                raise UsageError(f"{self.path}: {bias} is {_by(found)}, {name} beside it asks for {shape[0]}")


def _by(shape: tuple[int, ...]) -> str:
    return " by ".join(map(str, shape)) or "one number"
