"""Features on disk, one safetensors file a recording, named by the audio's bytes and the settings that made them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError

from common.audio.noise import noise_files
from common.config.settings import AugmentConfig, FeatureConfig
from common.errors import FedserError
from common.storage import atomic
from common.storage.openable import openable

FORMAT = 2  # raised whenever the same settings would give other numbers


def default_directory() -> Path:
    """``$FEDSER_CACHE``, or ``fedser/features`` in the user's cache folder."""
    if named := os.environ.get("FEDSER_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedser" / "features"


class FeatureCache:
    """A folder of features.

    An entry that was cut short or altered is taken for missing: its checksum tells. Entries appear whole or not at all.

    Args:
        directory: made where it does not exist.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def load(self, key: str, most: int | None = None) -> torch.Tensor | None:
        """The features ``(frames, features)`` of an entry, or None where it is missing, broken, or has more frames."""
        try:
            with openable(self._path(key)) as plain, safetensors.safe_open(plain, framework="pt") as file:
                if most is not None and file.get_slice("features").get_shape()[0] > most:
                    return None
                # A copy: the tensor is a view of the file, which would end the process if it were cut short later.
                features: torch.Tensor = file.get_tensor("features").clone()
                checksum = (file.metadata() or {}).get("checksum")
        except (SafetensorError, OSError):
            return None
        return features if features.dtype == torch.float32 and checksum == _checksum(features) else None

    def store(self, key: str, features: torch.Tensor) -> None:
        """Write an entry.

        Raises:
            FedserError: the folder cannot be written, for want of space or rights.
        """
        content = safetensors.torch.save({"features": features}, metadata={"checksum": _checksum(features)})
        try:
            atomic.write(self._path(key), content)
        except FedserError as error:
            raise FedserError(f"{error} (features: FEDSER_CACHE names their folder)") from None

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / f"{key}.safetensors"


def _settings_of(features: FeatureConfig) -> dict[str, Any]:
    """Those that make the numbers; of an encoder not where it lies."""
    settings = dataclasses.asdict(features)
    encoder = settings.pop("encoder")
    if not features.encoder.on:
        return settings
    layer, classic = encoder["layer"], settings if features.encoder.beside else {}
    return {"encoder": [encoder["sha256"], encoder["settings_sha256"], layer, encoder["pool"]], "classic": classic}


def _checksum(features: torch.Tensor) -> str:
    return hashlib.blake2b(features.numpy().tobytes(), digest_size=16).hexdigest()


def entry_key(
    digest: str, version: int, features: FeatureConfig, augment: AugmentConfig, cut: int | None = None
) -> str:
    """An entry's name: of the bytes (``common.curation.probe.digest_of``), the settings, and what altered a copy.

    Of a recording that was cut the frames that were left are a part of it.
    """
    altered = [version, augment.speed, augment.gain, list(augment.noise), *_noise(augment)] if version else []
    parts = [FORMAT, digest, _settings_of(features), altered, *([] if cut is None else [cut])]
    settings = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(settings.encode(), digest_size=20).hexdigest()


def _noise(augment: AugmentConfig) -> list[Any]:
    """What noise there is in altered copies, where it is not pink noise in all of them."""
    plain = dataclasses.replace(augment, noise_kinds=("pink",), noise_share=1.0, noise_recordings="", noise_set=0)
    if not augment.noise or augment == plain:
        return []
    files = noise_files(augment.noise_recordings) if augment.noise_recordings else ()
    return [list(augment.noise_kinds), augment.noise_share, augment.noise_set, files]
