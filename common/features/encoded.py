"""A public encoder in front of the model: what a run must know of it, and the rows that it makes of a signal.

Pooled to ``statistics`` an utterance is one row: the mean over time of each number of a layer's frames, then each one's
deviation; of several layers one after the other. As ``frames`` a row is what the layers give at one time. Classic
features beside follow: pooled likewise, or those of the nearest time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from common.config.sections import MIDDLE, EncoderConfig, FeatureConfig
from common.encoders.opening import SAMPLING_RATE, Described, describe_encoder, open_encoder
from common.errors import AudioError, UsageError
from common.features import extractor


def settle(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with what the encoder's own files say of it, where they name one; otherwise as they are.

    Args:
        given: what was chosen, by flat name, in flags and files.

    Raises:
        UsageError: there is no encoder at the place, or another than the settings say; or none is named, and they say
            something of it.
    """
    own = {name: value for name, value in given.items() if name.startswith("encoder.")}
    path = str(own.get("encoder.path") or "")
    if not path:
        usual = {f"encoder.{name}": value for name, value in dataclasses.asdict(EncoderConfig()).items()}
        said = [name for name, value in own.items() if value != usual.get(name)]
        if said and not own.get("encoder.sha256"):
            raise UsageError(f"{said[0]} says something of an encoder, and none is named; give --encoder DIR")
        return dict(given)
    found = describe_encoder(Path(path).expanduser())
    known, settings = own.get("encoder.sha256"), own.get("encoder.settings_sha256")
    if known and known != found.sha256:
        raise UsageError(f"--encoder {path}: its SHA-256 is {found.sha256}, the run's is {known}; name the run's own")
    if settings and settings != found.settings_sha256:
        raise _other_settings(path, found.settings_sha256, f"the run's {settings}")
    layer = str(own.get("encoder.layer") or MIDDLE)
    return {
        **given,
        "encoder.layer": str(math.ceil(found.layers / 2)) if layer == MIDDLE else layer,
        "encoder.sha256": found.sha256,
        "encoder.settings_sha256": found.settings_sha256,
        **dict(zip(("encoder.layers", "encoder.width", "encoder.frame_ms"), _figures(found), strict=True)),
    }


def refuse_other_encoder(encoder: EncoderConfig, path: str) -> None:
    """Refuse an encoder that is not the one of the settings.

    Raises:
        UsageError: there is none at the place, or another, or it has other settings beside its weights.
    """
    if not path:
        raise UsageError(f"there is an encoder in front of the model, of SHA-256 {encoder.sha256}; name it: --encoder")
    refuse_other(encoder, path, "the model was trained with")


def refuse_other(encoder: EncoderConfig, path: str, whose: str) -> None:
    """Refuse an encoder whose files, or what they say, are not those of the settings.

    Args:
        encoder: the settings.
        path: of the encoder on this machine.
        whose: the settings are, as an error line says it before the SHA-256.

    Raises:
        UsageError: there is none at the place, or another, or it has other settings beside its weights.
    """
    found = describe_encoder(Path(path))
    if found.sha256 != encoder.sha256:
        raise UsageError(f"--encoder {path}: its SHA-256 is {found.sha256}, {whose} {encoder.sha256}")
    if found.settings_sha256 != encoder.settings_sha256:
        raise _other_settings(path, found.settings_sha256, f"{whose} {encoder.settings_sha256 or 'not known'}")
    is_so, said = _figures(found), (encoder.layers, encoder.width, encoder.frame_ms)
    if is_so != said:
        raise UsageError(f"--encoder {path}: its layers, width and ms a frame are {is_so}, the settings say {said}")


def _figures(found: Described) -> tuple[int, int, float]:
    return found.layers, found.width, 1000 * found.frame_seconds


def _other_settings(path: str, found: str, expected: str) -> UsageError:
    return UsageError(
        f"--encoder {path}: its weights are the right ones, but its config.json or preprocessor_config.json is another "
        f"(SHA-256 of its settings {found}, {expected}); get these files from where the others got them"
    )


def encoded_width(features: FeatureConfig) -> int:
    """How many numbers a row has.

    Raises:
        UsageError: nobody has looked at the encoder yet.
    """
    encoder = features.encoder
    if not encoder.width:
        raise UsageError("encoder.path is set, and nothing is known of the encoder; settle the settings first")
    classic = extractor.dimension(features) if encoder.beside else 0
    width = (encoder.mixed or 1) * encoder.width + classic
    return 2 * width if encoder.pooled else width


def encode(signal: torch.Tensor, features: FeatureConfig) -> torch.Tensor:
    """The rows of one signal.

    Args:
        signal: float32 ``(samples,)``, at 16 kHz.
        features: with an encoder that is settled and lies at ``path``.

    Returns:
        float32 ``(rows, encoded_width(features))``.

    Raises:
        UsageError: the encoder can't be read, is another than the settings say, or is for another sampling rate.
        AudioError: it makes nothing of this signal, or numbers that are not finite.
    """
    own = features.encoder
    if features.sampling_rate != SAMPLING_RATE:
        raise UsageError(
            f"features.sampling_rate is {features.sampling_rate}, encoders hear {SAMPLING_RATE} Hz; leave it out"
        )
    refuse_other(own, own.path, "the run's is")
    encoder = open_encoder(Path(own.path))
    upto = own.mixed or int(own.layer)
    frames = encoder.frames(signal, upto)
    if not frames.isfinite().all():
        raise AudioError("encoder", "the encoder's frames hold numbers that are not finite")
    frames = frames if own.mixed else frames[-1:]
    beside = [extractor.extract(signal, dataclasses.replace(features, encoder=EncoderConfig()))] if own.beside else []
    if own.pooled:
        return torch.cat([_pooled(part) for part in (*frames, *beside)])[None]
    return torch.cat([*frames, *(_nearest(part, len(frames[0]), features) for part in beside)], dim=1)


def _pooled(frames: torch.Tensor) -> torch.Tensor:
    """Mean and deviation over time ``(2 width,)`` of ``(frames, width)``."""
    exact = frames.double()
    return torch.cat([exact.mean(0), exact.std(0, unbiased=False)]).float()


def _nearest(rows: torch.Tensor, count: int, features: FeatureConfig) -> torch.Tensor:
    """The classic rows nearest in time to each of so many of the encoder's frames."""
    classic, own = features.hop * features.stack, features.encoder.frame_ms
    middle = (features.stack - 1) / (2 * features.stack)  # the first of the joined frames is centred on time 0
    places = ((torch.arange(count) + 0.5) * own / classic - middle).round().long()
    return rows[places.clamp(0, len(rows) - 1)]
