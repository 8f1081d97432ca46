"""How fast a public encoder is on one core, and how much memory it takes, beside transformers where it is installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from common.audio import torchaudio
from common.encoders.log_mel import log_mel
from common.encoders.opening import SAMPLING_RATE, PublicEncoder, describe_encoder, open_encoder
from common.validate import in_range, positive
from simulations.speed.feature_speed import made_up_speech, one_thread

Signals = Sequence[torch.Tensor]
Contender = Callable[[Signals], object]
OURS, ALL, THEIRS, UNPADDED = "encoder", "encoder_all_layers", "transformers", "transformers_unpadded"


def run(path: Path, layer: int | None = None, seconds: float = 20.0, repeats: int = 3) -> dict[str, Any]:
    """Time an encoder on made-up utterances of some 3 s, one by one, taking turns with what one would use instead.

    ``encoder`` goes up to the layer, ``encoder_all_layers`` through all. ``transformers`` is the same architecture
    there, with weights of chance, for the time is the same: all layers, and each sound of a Whisper padded to 30 s,
    for it takes no other; ``transformers_unpadded`` has been told that it is as short as it is.

    Args:
        path: of the encoder.
        layer: the highest that is computed; None for all.
        seconds: how much sound.
        repeats: how often each runs; the fastest counts.

    Returns:
        By contender ``ms_per_second`` of sound and ``median_ms_per_second``; ``times_transformers``, how often
        ``encoder`` fits into its time, and ``times_transformers_same_work``, ``encoder_all_layers`` into that of the
        same frames of all layers there; ``frames_mb_per_second``, one layer's frames as float32; ``memory_mb``, by how
        much the process grew to open the encoder and run it up to the layer; ``sha256``, ``layer``,
        ``audio_seconds``, ``repeats``, ``threads`` and ``versions``.

    Raises:
        UsageError: there is no such encoder or layer, or nothing to time.
    """
    positive("seconds", seconds)
    in_range("repeats", repeats, 1, 1000)
    told = describe_encoder(path)
    upto, signals = told.layers if layer is None else layer, made_up_speech(seconds)
    in_range("--layer", upto, 1, told.layers)
    duration = sum(map(len, signals)) / SAMPLING_RATE
    with one_thread():
        log_mel(made_up_speech(1.0)[0], 80)  # imports librosa, and starts torch's FFT, which the process has anyway
        before = _peak()
        encoder = open_encoder(path)
        _encoded(encoder, signals, upto)
        grown = _peak() - before
        contenders = _contenders(encoder, path, upto)
        for contender in contenders.values():
            contender(signals[:1])  # reads weights, and whatever is made once
        runs = [{name: _time(contender, signals) for name, contender in contenders.items()} for _ in range(repeats)]
    report: dict[str, Any] = {name: _figures([own[name] for own in runs], duration) for name in contenders}
    return report | {
        "times_transformers": _times(report, THEIRS, OURS),
        "times_transformers_same_work": _times(report, UNPADDED if UNPADDED in report else THEIRS, ALL),
        "frames_mb_per_second": round(4 * told.width / told.frame_seconds / 1e6, 3),
        "memory_mb": round(grown, 1),
        "kind": told.kind,
        "sha256": told.sha256,
        "layer": upto,
        "audio_seconds": round(duration, 1),
        "repeats": repeats,
        "threads": 1,
        "versions": {name: importlib.metadata.version(name) for name in ("torch", THEIRS) if _installed(name)},
    }


def _encoded(encoder: PublicEncoder, signals: Signals, upto: int) -> None:
    for signal in signals:
        encoder.frames(signal, upto)


def _contenders(encoder: PublicEncoder, path: Path, upto: int) -> dict[str, Contender]:
    contenders: dict[str, Contender] = {
        OURS: lambda signals: _encoded(encoder, signals, upto),
        ALL: lambda signals: _encoded(encoder, signals, encoder.layers),
    }
    if encoder.kind != "onnx" and _installed(THEIRS):
        contenders |= _whisper(path) if encoder.kind == "whisper" else _other(path)
    return contenders


def _library() -> Any:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded
    torchaudio.load()  # which it imports, and which needs help beside a CPU-only torch
    return importlib.import_module(THEIRS)


def _other(path: Path) -> dict[str, Contender]:
    library = _library()
    model = library.AutoModel.from_config(library.AutoConfig.from_pretrained(path)).eval()
    return {THEIRS: lambda signals: _each(signals, lambda signal: model(signal[None], output_hidden_states=True))}


def _whisper(path: Path) -> dict[str, Contender]:
    library = _library()
    config = library.AutoConfig.from_pretrained(path)
    model = importlib.import_module(f"{THEIRS}.models.whisper.modeling_whisper").WhisperEncoder(config).eval()
    extractor = library.WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    longest = config.max_source_positions

    def encode(signal: torch.Tensor, frames: int, padding: str) -> object:
        levels = extractor(signal.numpy(), sampling_rate=SAMPLING_RATE, padding=padding, return_tensors="pt")
        model.config.max_source_positions = model.embed_positions.num_embeddings = frames
        return model(levels.input_features[..., : 2 * frames], output_hidden_states=True)

    return {
        THEIRS: lambda signals: _each(signals, lambda signal: encode(signal, longest, "max_length")),
        UNPADDED: lambda signals: _each(
            signals, lambda signal: encode(signal, min(longest, len(signal) // 320), "do_not_pad")
        ),
    }


def _each(signals: Signals, encode: Callable[[torch.Tensor], object]) -> None:
    with torch.no_grad():
        for signal in signals:
            encode(signal)


def _time(contender: Contender, signals: Signals) -> float:
    start = time.perf_counter()
    contender(signals)
    return time.perf_counter() - start


def _figures(times: Sequence[float], duration: float) -> dict[str, float]:
    return {
        "ms_per_second": round(1000 * min(times) / duration, 2),
        "median_ms_per_second": round(1000 * statistics.median(times) / duration, 2),
    }


def _times(report: Mapping[str, Any], theirs: str, ours: str) -> float | None:
    if theirs not in report:
        return None
    times: float = report[theirs]["ms_per_second"] / max(report[ours]["ms_per_second"], 0.01)
    return round(times, 2)


def _peak() -> float:
    """The most memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
