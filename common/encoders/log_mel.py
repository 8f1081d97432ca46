"""Whisper's log-mel spectrogram, as its published code and transformers' ``WhisperFeatureExtractor`` make it."""

from __future__ import annotations

from functools import lru_cache

import torch

from common.encoders.public_encoder import SAMPLING_RATE

WINDOW = 400  # samples, and points of the Fourier transform
HOP = 160  # samples
_FLOOR = 1e-10  # of a band's power
_RANGE = 8.0  # decades below the loudest band that are kept


@lru_cache(maxsize=4)
def _filters(bands: int) -> torch.Tensor:
    """Slaney's mel filters with unit area, ``(bands, bins)``."""
    import librosa

    return torch.from_numpy(librosa.filters.mel(sr=SAMPLING_RATE, n_fft=WINDOW, n_mels=bands))


def log_mel(signal: torch.Tensor, bands: int) -> torch.Tensor:
    """The levels of the mel bands every 10 ms; what is more than 80 dB below the loudest is raised to that.

    Args:
        signal: ``(samples,)``, at least ``WINDOW``.
        bands: 80, or 128 for Whisper's large-v3.

    Returns:
        ``(bands, samples // HOP)``, about -1 to 1.5.
    """
    spectrum = torch.stft(signal, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True)
    power = spectrum[:, :-1].abs().square().contiguous()  # the last frame is half beyond the end
    levels = (_filters(bands) @ power).clamp_min(_FLOOR).log10()
    return (torch.maximum(levels, levels.max() - _RANGE) + 4.0) / 4.0
