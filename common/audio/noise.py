"""Noise around a recording: pink, made-up voices that babble, a room that echoes, or recordings that a user names."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from common.audio import reading
from common.audio.image_sources import ROOMS, room_response
from common.audio.torchaudio import load as torchaudio
from common.config.settings import AugmentConfig
from common.errors import AudioError, UsageError
from common.voices import babble
from common.voices.tract import RATE

RECORDINGS = "recordings"  # the kind that a named folder adds


def add_kind(
    signal: torch.Tensor, rate: int, config: AugmentConfig, snr: float, generator: torch.Generator
) -> torch.Tensor:
    """A recording in noise of one of the kinds that the settings name, drawn at random.

    Args:
        signal: ``(samples,)``.
        rate: Hz.
        config: which kinds there are, and of which set the voices and rooms.
        snr: the signal-to-noise ratio in dB; in a room, that of the sound with its echoes to pink noise.
        generator: where the noise comes from.

    Raises:
        UsageError: the folder of noise holds nothing that can be read.
    """
    kinds = kinds_of(config)
    kind = kinds[_draw(len(kinds), generator)] if len(kinds) > 1 else kinds[0]
    if kind == "babble":
        return mix(signal, _babble(len(signal), rate, config.noise_set, generator), snr)
    if kind == RECORDINGS:
        return mix(signal, _recorded(len(signal), rate, config.noise_recordings, generator), snr)
    heard = in_room(signal, rate, config.noise_set, _draw(ROOMS, generator)) if kind == "room" else signal
    return add_noise(heard, snr, generator)


def kinds_of(config: AugmentConfig) -> tuple[str, ...]:
    """The kinds of noise that copies may have."""
    return (*config.noise_kinds, *([RECORDINGS] if config.noise_recordings else []))


def add_noise(signal: torch.Tensor, snr: float, generator: torch.Generator) -> torch.Tensor:
    """Add pink noise, whose power falls by 3 dB an octave like that of many rooms (torchaudio).

    Args:
        signal: ``(samples,)``.
        snr: the signal-to-noise ratio in dB over the whole signal; silence stays silent.
        generator: where the noise comes from.
    """
    return mix(signal, _pink(len(signal), generator), snr) if signal.any() else signal.clone()


def mix(signal: torch.Tensor, noise: torch.Tensor, snr: float) -> torch.Tensor:
    """Add noise to a signal (torchaudio).

    Args:
        signal: ``(samples,)``.
        noise: of the same length.
        snr: the signal-to-noise ratio in dB over the whole signal; where either is silent the signal stays as it is.
    """
    if not signal.any() or not noise.any():
        return signal.clone()
    noisy: torch.Tensor = torchaudio().functional.add_noise(signal, noise, torch.tensor(snr, dtype=signal.dtype))
    return noisy


def in_room(signal: torch.Tensor, rate: int, number: int, which: int) -> torch.Tensor:
    """A recording as it sounds in a room, as loud as before and as long.

    Args:
        signal: ``(samples,)``.
        rate: Hz.
        number: of the set of rooms.
        which: of its rooms.
    """
    echoes = torch.from_numpy(room_response(number, which, rate)).to(signal.dtype)
    size = 1 << (len(signal) + len(echoes) - 1).bit_length()
    wet = torch.fft.irfft(torch.fft.rfft(signal, size) * torch.fft.rfft(echoes, size), size)[: len(signal)]
    level = signal.square().mean().sqrt() / wet.square().mean().sqrt().clamp_min(1e-12)
    heard: torch.Tensor = wet * level
    return heard


@lru_cache(maxsize=8)
def noise_files(folder: str) -> tuple[tuple[str, int, int], ...]:
    """The recordings of noise in a folder, by name: each one's path, bytes and time of change; read once a process.

    Raises:
        UsageError: there are none.
    """
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in reading.EXTENSIONS)
    if not found:
        raise UsageError(
            f"augment.noise_recordings is {folder!r}, where no recording is; expected a folder of recordings of noise"
        )
    return tuple((str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in found)


def _recorded(samples: int, rate: int, folder: str, generator: torch.Generator) -> torch.Tensor:
    """A stretch of a recording of noise, again and again where it is too short."""
    files = noise_files(folder)
    whole = _noise_signal(str(Path(folder) / files[_draw(len(files), generator)][0]), rate)
    return _repeated(whole, samples, _draw(len(whole), generator))


@lru_cache(maxsize=4)
def _noise_signal(path: str, rate: int) -> torch.Tensor:
    try:
        return reading.load(Path(path), rate)
    except AudioError as error:  # or it would be taken for a fault of the recording that it is mixed into
        raise UsageError(f"augment.noise_recordings: {path}: {error.detail}; take it out of the folder") from None


def _babble(samples: int, rate: int, number: int, generator: torch.Generator) -> torch.Tensor:
    made = babble.babble(number, _draw(2**31 - 1, generator), -(-samples * RATE // rate))
    return reading.resample(torch.from_numpy(made.astype(np.float32)), RATE, rate)[:samples]


def _repeated(signal: torch.Tensor, samples: int, start: int) -> torch.Tensor:
    return signal[(torch.arange(samples) + start) % len(signal)]


def _draw(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def _pink(samples: int, generator: torch.Generator) -> torch.Tensor:
    """White noise whose amplitudes are divided by the root of the frequency.

    Below a 320th of the sampling rate (50 Hz of 16 kHz) it stays white, or most of its power would be inaudible.
    """
    size = 1 << (max(samples, 2) - 1).bit_length()
    spectrum = torch.fft.rfft(torch.randn(size, generator=generator))
    frequency = torch.arange(len(spectrum)).clamp_min(max(size // 320, 1))
    noise: torch.Tensor = torch.fft.irfft(spectrum / frequency.sqrt(), size)
    return noise[:samples]
