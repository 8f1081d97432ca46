"""A public encoder from a folder in Hugging Face's layout or an ONNX file: told, or opened. Nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from common.encoders.hub_config import HubConfig
from common.encoders.onnx_file import OnnxEncoder
from common.encoders.public_encoder import SAMPLING_RATE, PublicEncoder
from common.encoders.wav2vec import Wav2vecEncoder
from common.encoders.whisper import WhisperEncoder
from common.errors import UsageError

__all__ = ["SAMPLING_RATE", "Described", "PublicEncoder", "describe_encoder", "open_encoder"]

WEIGHTS = "model.safetensors"
_KINDS: dict[str, Callable[[HubConfig, Path], PublicEncoder]] = {
    "whisper": WhisperEncoder,
    "wav2vec2": Wav2vecEncoder,
    "hubert": Wav2vecEncoder,
    "wavlm": Wav2vecEncoder,
}
_PICKLED = ("pytorch_model.bin", "*.bin", "*.pt", "*.pth", "*.ckpt", "*.torchscript")
_SETTINGS = ("config.json", "preprocessor_config.json")
_CHUNK = 1 << 20

Stamp = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Described:
    """What an encoder on disk is.

    Attributes:
        sha256: of the file of its weights, 64 hexadecimal digits.
        settings_sha256: of what is read of the files beside it (heads, norms, scaling of the sound), which changes what
            it gives as the weights do; equal where two downloads say the same in other words.
        kind: ``whisper``, ``wav2vec2``, ``hubert``, ``wavlm`` or ``onnx``.
        layers: its outputs are 1 to this.
        width: features of a frame.
        bytes: of the file of its weights.
        frame_seconds: from one frame to the next.
    """

    sha256: str
    settings_sha256: str
    kind: str
    layers: int
    width: int
    bytes: int
    frame_seconds: float


def describe_encoder(path: Path) -> Described:
    """Tell what an encoder is, without reading its weights but for their hash.

    Args:
        path: a folder with ``config.json`` and ``model.safetensors``, or ``FILE.onnx``.

    Raises:
        UsageError: there is none, or one that is not read; says which and what to do.
    """
    return _described(*_located(path))


def open_encoder(path: Path) -> PublicEncoder:
    """Open an encoder; the two that were opened last are kept, until their files change.

    Args:
        path: as for ``describe_encoder``.

    Raises:
        UsageError: as for ``describe_encoder``.
    """
    return _opened(*_located(path))


@lru_cache(maxsize=8)
def _described(path: Path, weights: Path, stamp: Stamp) -> Described:
    encoder = _opened(path, weights, stamp)
    return Described(
        sha256=_sha256(weights),
        settings_sha256=hashlib.sha256(json.dumps(encoder.settings, sort_keys=True).encode()).hexdigest(),
        kind=encoder.kind,
        layers=encoder.layers,
        width=encoder.width,
        bytes=weights.stat().st_size,
        frame_seconds=encoder.frame_seconds,
    )


@lru_cache(maxsize=2)
def _opened(path: Path, weights: Path, stamp: Stamp) -> PublicEncoder:  # noqa: ARG001 - a changed file is another
    if weights == path:
        return OnnxEncoder(path)
    config = HubConfig.read(path / "config.json")
    return _KINDS[config.word("model_type", tuple(_KINDS))](config, weights)


def _located(path: Path) -> tuple[Path, Path, Stamp]:
    """An encoder's path, the file of its weights, and what changes when a file of it does."""
    try:
        weights = _weights(path)
        beside = [path / name for name in _SETTINGS] if path.is_dir() else []
        stats = [file.stat() for file in (weights, *beside) if file.exists()]
    except OSError as error:
        raise _unreadable(path, error) from None
    return path, weights, tuple(value for own in stats for value in _stamp(own))


def _weights(path: Path) -> Path:
    """The file of an encoder's weights, which an ONNX file is itself."""
    if path.is_file() and path.suffix == ".onnx":
        return path
    if path.is_file():
        raise UsageError(f"{path}: no encoder; expected a folder with config.json and {WEIGHTS}, or FILE.onnx")
    if not path.is_dir():
        raise UsageError(f"{path}: no such folder; expected an encoder's, fedser encoders tells where to get one")
    weights = path / WEIGHTS
    if not (path / "config.json").is_file():
        raise UsageError(f"{path}: no config.json; expected a folder as Hugging Face's, with {WEIGHTS} beside it")
    if not weights.is_file():
        raise UsageError(f"{path}: no {WEIGHTS}; {_instead(path)}")
    return weights


def _instead(path: Path) -> str:
    if (path / f"{WEIGHTS}.index.json").exists():
        return "weights in several files are not read: get the encoder in one file"
    pickled = sorted({found.name for pattern in _PICKLED for found in path.glob(pattern)})
    if pickled:
        return f"{pickled[0]} may run any code when it is opened and never is: get the encoder's {WEIGHTS}"
    return "fedser encoders tells where to get it"


def _stamp(own: os.stat_result) -> Stamp:
    return own.st_dev, own.st_ino, own.st_size, own.st_mtime_ns


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise _unreadable(file, error) from None
    return digest.hexdigest()


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: cannot be read ({error.strerror or error})")
