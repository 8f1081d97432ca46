"""From a signal to frames of features: the one path that training, prediction and tests all take.

The columns, in order (``names`` lists them); with several windows, each window's follow those of the one before:

* ``mfcc_i@W``: cepstral coefficients under a window of W ms, of the log-mel levels in dB (64 Slaney bands up to half
  the sampling rate, or as many as coefficients if that is more), orthonormal DCT-II, no liftering, no ``top_db``;
* ``log_mel_i@W``: log-mel levels in dB;
* ``energy@W``: the frame's mean square in dB of full scale;
* ``delta_…``, ``delta2_…``: Δ and ΔΔ of all these, Savitzky-Golay over nine frames, the end frames repeated;
* ``centroid@W``, ``rolloff@W``: in kHz, 0 in silence; ``flux@W``: the mean rise of the mel bands' levels in dB from the
  frame before, 0 in the first frame;
* ``zero_crossing@W``: sign changes a sample, 0 to 1;
* ``f0``: the natural logarithm of F0 over 60 Hz (0 to 2.1), 0 where unvoiced; ``voicing``: the periodic share of the
  energy, 0 to 1. They have a window of their own, 50 ms, and come once.

Every level has a floor of -100 dB, so digital silence gives finite values. Frames lie as with librosa's ``center=True``
and zero padding: the first is centred on the first sample, and there are ``1 + samples // hop``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from common.config.settings import FeatureConfig
from common.errors import UsageError
from common.features import pitch, spectral
from common.features.descriptors import REACH, derivatives, sign_changes, zero_crossing_rate
from common.features.framing import Grid

_CHUNK = 384  # frames analysed at once: their spectra stay in the processor's cache

Table = torch.Tensor  # (grid frames, columns)


def names(config: FeatureConfig) -> list[str]:
    """The columns' names in order; joined frames add ``[0]``, ``[1]``, …, the earliest first."""
    columns = [f"{name}@{window}" for window in config.windows for name in _window_names(config)]
    columns += ["f0", "voicing"] if config.pitch else []
    return columns if config.stack == 1 else [f"{name}[{i}]" for i in range(config.stack) for name in columns]


def _window_names(config: FeatureConfig) -> list[str]:
    statics = [f"mfcc_{i}" for i in range(config.mfcc)] + [f"log_mel_{i}" for i in range(config.log_mel)]
    statics += ["energy"] if config.energy else []
    columns = [prefix + name for prefix in ("", "delta_", "delta2_")[: config.deltas + 1] for name in statics]
    columns += ["centroid", "rolloff", "flux"] if config.spectral else []
    return columns + (["zero_crossing"] if config.zero_crossing else [])


def dimension(config: FeatureConfig) -> int:
    """How many features a frame has."""
    return len(names(config))


def most_frames(config: FeatureConfig, seconds: float) -> int | None:
    """How many rows the features of a recording of so many seconds have at most; None where it may be endless."""
    if math.isinf(seconds):
        return None
    return math.ceil((1 + math.floor(1000 * seconds / config.hop)) / config.stack)


def extract(signal: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    """The features of one signal: a batch of one, see ``extract_batch``."""
    return extract_batch([signal], config)[0]


def extract_batch(signals: Sequence[torch.Tensor], config: FeatureConfig) -> list[torch.Tensor]:
    """The features of several signals.

    Args:
        signals: float32 of shape ``(samples,)`` each, at ``config.sampling_rate``.
        config: what to compute.

    Returns:
        For each signal float32 of shape ``(frames, dimension(config))``. A signal's features do not depend on the
        others in its batch, but for rounding.

    Raises:
        UsageError: a signal is empty or has more than one dimension.
    """
    for signal in signals:
        if signal.ndim != 1 or not len(signal):
            raise UsageError(f"a signal has the shape {tuple(signal.shape)}, expected (samples,) with at least one")
    if not signals:
        return []
    grid = _grid([len(signal) for signal in signals], config)
    sound = grid.lay(signals)
    tables = [table for window in config.windows for table in _window_tables(sound, grid, config, window)]
    tables += _pitch_tables(sound, grid, config) if config.pitch else []
    parts = zip(*(grid.cut(table) for table in tables), strict=True)
    whole = [torch.cat(part, dim=1) for part in parts]
    if config.pitch:
        for table in whole:
            table[:, -2] = pitch.bridge(table[:, -2])
    return [_stack(table, config.stack) for table in whole]


def _samples(config: FeatureConfig, milliseconds: int) -> int:
    return round(config.sampling_rate * milliseconds / 1000)


def _grid(lengths: Sequence[int], config: FeatureConfig) -> Grid:
    hop, windows = _samples(config, config.hop), [_samples(config, window) for window in config.windows]
    constants = [spectral.analysis(config, window) for window in windows]
    sizes = windows + [len(analysis.window) for analysis in constants if analysis]
    sizes += [pitch.tracker(config.sampling_rate, hop).size] if config.pitch else []
    return Grid(lengths=tuple(lengths), hop=hop, gap=max(2 * REACH, math.ceil(max(sizes) / hop) + 1))


def _window_tables(sound: torch.Tensor, grid: Grid, config: FeatureConfig, window: int) -> list[Table]:
    """One window's columns: statics, Δ, ΔΔ, the spectrum's shape, zero crossings."""
    size = _samples(config, window)
    constants = spectral.analysis(config, size)
    tables: list[Table] = []
    if constants:
        fft = len(constants.window)
        statics, shape = _by_chunk(
            grid, lambda low, high: spectral.analyse(grid.stretch(sound, low - 1, high, fft), constants, grid.hop)
        )
        shape[grid.firsts, -1:] = 0.0  # the flux: the frame before the first belongs to no signal
        tables = [statics, *_derivatives(statics, grid, config.deltas), shape]
    return tables + ([_zero_crossings(sound, grid, size)] if config.zero_crossing else [])


def _by_chunk(grid: Grid, analyse: Callable[[int, int], tuple[Table, ...]]) -> list[Table]:
    """``analyse(low, high)`` for all frames of the grid, a chunk at a time, joined to whole tables."""
    bounds = range(0, grid.frames, _CHUNK)
    chunks = [analyse(low, min(low + _CHUNK, grid.frames)) for low in bounds]
    return [torch.cat(parts) for parts in zip(*chunks, strict=True)]


def _derivatives(statics: Table, grid: Grid, order: int) -> list[Table]:
    """Δ and ΔΔ, each signal's first and last frame repeated into the gaps around it."""
    for first, count in zip(grid.firsts, grid.counts, strict=True):
        last = first + count - 1
        statics[first - REACH : first] = statics[first]
        statics[last + 1 : last + 1 + REACH] = statics[last]
    inner = derivatives(statics, order)
    return [torch.nn.functional.pad(table, (0, 0, REACH, REACH)) for table in inner]


def _zero_crossings(sound: torch.Tensor, grid: Grid, size: int) -> Table:
    changes = sign_changes(sound)
    # From silence into a signal and out of it is no sign change: the ends count as if they were held on.
    starts = torch.tensor([grid.margin + first * grid.hop for first in grid.firsts])
    changes[starts] = False
    changes[starts + torch.tensor(grid.lengths)] = False
    return zero_crossing_rate(grid.stretch(changes, 0, grid.frames, size), size, grid.hop)


def _pitch_tables(sound: torch.Tensor, grid: Grid, config: FeatureConfig) -> list[Table]:
    constants = pitch.tracker(config.sampling_rate, grid.hop)
    frequency, strength = _by_chunk(
        grid, lambda low, high: pitch.candidates(grid.stretch(sound, low, high, constants.size), constants)
    )
    inside = torch.zeros(grid.frames, dtype=torch.bool)
    for rows in grid.cut(inside):
        rows.fill_(True)
    frequency = pitch.smooth(frequency, torch.where(inside, strength, 0.0))
    octaves = torch.where(frequency > 0, (frequency / pitch.LOWEST).log(), 0.0)
    return [torch.stack([octaves, strength], dim=1)]


def _stack(table: Table, stack: int) -> Table:
    """Join every ``stack`` frames to one; the last frame is repeated to fill the last group."""
    if stack == 1:
        return table
    missing = -len(table) % stack
    return torch.cat([table, table[-1:].expand(missing, -1)]).reshape(-1, stack * table.shape[1])
