"""A recording's level and pitch, read once more for them: hours in little memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.frame_blocks import FrameBlocks
from recogniser.prosody.description import describe
from recogniser.prosody.level_and_pitch import LevelAndPitch
from recogniser.prosody.phrasing import Stretch
from recogniser.sound.file_blocks import FileBlocks
from recogniser.sound.resampling import Resampler

Signal = npt.NDArray[np.float32]

_FRAMES = 500  # computed at once


def prosody_of(
    model: ExportedModel, path: Path, stretches: Sequence[Stretch], *, separate: bool = False
) -> dict[str, Any] | None:
    """The prosody of a recording; None where nothing of it can be read.

    Args:
        model: whose frames have level and pitch.
        path: of the recording.
        stretches: who speaks when, such as the segments.
        separate: whether each channel was heard for itself.
    """
    channels = heard_channels(model, path, separate=separate)
    return describe(channels, stretches) if channels else None


def heard_channels(model: ExportedModel, path: Path, *, separate: bool = False) -> dict[int | None, LevelAndPitch]:
    """Level and pitch of each channel, or of the mean of all, whose name is None; none of what can't be read."""
    channels: dict[int | None, _Channel] = {}
    blocks = FileBlocks(path=path)
    for block in blocks:
        if not channels:
            names: Sequence[int | None] = range(blocks.channels) if separate else [None]
            channels = {name: _Channel(model, blocks.rate) for name in names}
        for name, channel in channels.items():
            channel.hear(block.mean(axis=1) if name is None else block[:, name])
    for channel in channels.values():
        channel.end()
    return {name: channel.kept for name, channel in channels.items()}


class _Channel:
    def __init__(self, model: ExportedModel, rate: int) -> None:
        self._resampler, self._blocks = Resampler(rate, model.sampling_rate), FrameBlocks(model, _FRAMES)
        self.kept = LevelAndPitch(model.layout.columns, model.hop_ms / 1000)

    def hear(self, sound: Signal) -> None:
        self.kept.add(self._blocks.feed(self._resampler.feed(sound)))

    def end(self) -> None:
        self.kept.add(self._blocks.feed(self._resampler.end()))
        self.kept.add(self._blocks.end())
