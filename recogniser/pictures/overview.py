"""What there is to see of a sound, in one pass and in memory that does not grow with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import AudioError, FedserError
from recogniser.listening.exported_model import ExportedModel
from recogniser.pictures.folded_columns import FoldedColumns, Table
from recogniser.prosody.heard_channels import heard_channels
from recogniser.prosody.level_and_pitch import Column
from recogniser.sound.file_blocks import FileBlocks
from recogniser.sound.gates import FRAME, RATE, EnergyGate
from recogniser.sound.hysteresis import SECONDS, Hysteresis, OpenSegment
from recogniser.sound.resampling import Resampler

Signal = npt.NDArray[np.float32]

_BIN = 16  # samples, 1 ms, whose lowest and highest are kept
_WINDOW = 400  # samples, 25 ms, of a spectrum
_FFT = 512
_HOP = 40  # samples between two spectra of a short sound; up to four times as many in a long one
_LONGEST_HOP = 160


@dataclass(frozen=True, kw_only=True)
class Overview:
    """A recording, its channels mixed, at 16 kHz.

    Attributes:
        seconds: how long it is.
        waveform: the lowest and the highest sample of each column, ``(columns, 2)``.
        waveform_step: seconds from column to column.
        spectrogram: levels in dB, ``(columns, bins)``, from 0 Hz to 8 kHz.
        spectrogram_step: seconds from column to column, each centred where it stands.
        speech: where the energy gate hears it, in seconds.
        semitones: F0 over 60 Hz by frame, 0 where unvoiced; None without a model, or of one without pitch.
        frame_step: seconds from frame to frame.
        problems: of the file.
    """

    seconds: float
    waveform: Table
    waveform_step: float
    spectrogram: Table
    spectrogram_step: float
    speech: list[tuple[float, float]]
    semitones: Column | None
    frame_step: float
    problems: list[AudioError]


def look(path: Path, model: ExportedModel | None = None) -> Overview:
    """Read a recording once.

    Args:
        path: in any format that soundfile reads.
        model: whose frames have the F0; None for none.

    Raises:
        FedserError: nothing of it can be read.
    """
    blocks = FileBlocks(path=path)
    waveform, spectrogram, gate = _Waveform(), _Spectrogram(), _Gate()
    for sound in _mixed(blocks):
        for part in (waveform, spectrogram, gate):
            part.feed(sound)
    if not blocks.samples:
        raise FedserError(f"{path}: {blocks.problems[0].detail}")
    return Overview(
        seconds=blocks.samples / blocks.rate,
        waveform=waveform.columns,
        waveform_step=waveform.step,
        spectrogram=spectrogram.columns,
        spectrogram_step=spectrogram.step,
        speech=gate.end(),
        semitones=heard_channels(model, path)[None].semitones if model else None,
        frame_step=model.hop_ms / 1000 if model else 0.0,
        problems=blocks.problems,
    )


def _mixed(blocks: FileBlocks) -> Iterator[Signal]:
    """The mean of a file's channels at ``RATE``, ``(samples,)`` each."""
    resampler: Resampler | None = None
    for block in blocks:
        resampler = resampler or Resampler(blocks.rate, RATE)
        yield resampler.feed(block.mean(axis=1))
    if resampler:
        yield resampler.end()


class _Waveform:
    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._low, self._high = FoldedColumns(np.min, 1), FoldedColumns(np.max, 1)

    def feed(self, sound: Signal) -> None:
        sound = np.concatenate([self._rest, sound])
        whole = len(sound) // _BIN * _BIN
        self._rest = sound[whole:]
        bins = sound[:whole].reshape(-1, _BIN)
        self._low.add(bins.min(axis=1, keepdims=True))
        self._high.add(bins.max(axis=1, keepdims=True))

    @property
    def columns(self) -> Table:
        return np.concatenate([self._low.columns, self._high.columns], axis=1)

    @property
    def step(self) -> float:
        return self._low.span * _BIN / RATE


class _Spectrogram:
    """Mean powers, of spectra that lie closer together in a short sound."""

    def __init__(self) -> None:
        self._sound = np.zeros(_WINDOW // 2, np.float32)
        self._taper = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)
        self._columns = FoldedColumns(np.mean, _FFT // 2 + 1)
        self._hop = _HOP

    def feed(self, sound: Signal) -> None:
        self._sound = np.concatenate([self._sound, sound])
        while len(self._sound) >= _WINDOW:
            views = np.lib.stride_tricks.sliding_window_view(self._sound, _WINDOW)[:: self._hop]
            views = views[: min(256, self._columns.room)]
            spectra = np.fft.rfft(views * self._taper, _FFT)
            power = (spectra.real**2 + spectra.imag**2).astype(np.float32)
            self._sound = self._sound[len(views) * self._hop :]
            if self._columns.add(power) and self._hop < _LONGEST_HOP:
                self._hop, self._columns.span = 2 * self._hop, self._columns.span // 2

    @property
    def columns(self) -> Table:
        amplitude = 4 / float(self._taper.sum()) ** 2  # of a power, so that a tone at full scale is 0 dB
        levels: Table = 10 * np.log10(self._columns.columns * np.float32(amplitude) + np.float32(1e-12))
        return levels

    @property
    def step(self) -> float:
        return self._columns.span * self._hop / RATE


class _Gate:
    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._gate, self._hysteresis = EnergyGate(), Hysteresis()
        self._found: list[tuple[float, float]] = []

    def feed(self, sound: Signal) -> None:
        sound = np.concatenate([self._rest, sound])
        whole = len(sound) // FRAME * FRAME
        self._rest = sound[whole:]
        for probability in self._gate.feed(sound[:whole].reshape(-1, FRAME)).tolist():
            self._take(self._hysteresis.feed(probability))

    def end(self) -> list[tuple[float, float]]:
        self._take(self._hysteresis.end())
        return self._found

    def _take(self, closed: list[OpenSegment]) -> None:
        self._found += [(own.start * SECONDS, own.end * SECONDS) for own in closed]
