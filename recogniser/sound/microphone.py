"""A microphone, through PortAudio."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from common.errors import FedserError

Block = npt.NDArray[np.float32]  # (samples, channels)

_BLOCK_SECONDS = 0.05


def microphone(device: str | None, rate: int | None, channels: int) -> tuple[int, Iterator[Block]]:
    """Open a microphone, whose sound goes on until somebody interrupts it.

    Args:
        device: its name, or its number; None for the system's own.
        rate: in Hz; None for the device's.
        channels: how many.

    Returns:
        The rate, and blocks ``(samples, channels)`` from -1 to 1, which raise FedserError where they are taken more
        slowly than they come.

    Raises:
        FedserError: the extra is not installed, or there is no such microphone.
    """
    try:
        sounddevice = importlib.import_module("sounddevice")
    except ImportError:
        raise FedserError(
            "a microphone needs the extra microphone: pip install 'fedser[microphone]'; or give PCM on standard input, "
            "as in arecord -q -f S16_LE -r 16000 -t raw | fedser listen --model DIR -"
        ) from None
    except OSError:
        raise FedserError("a microphone needs PortAudio: apt install libportaudio2, or your system's package") from None
    named = int(device) if device and device.isdigit() else device
    try:
        at = rate or int(sounddevice.query_devices(named, "input")["default_samplerate"])
        stream = sounddevice.InputStream(at, round(_BLOCK_SECONDS * at), named, channels, "float32")
    except (sounddevice.PortAudioError, ValueError) as error:
        asked = f"{device or 'of the system'} at {rate or 'its'} Hz with {channels} channels"
        raise FedserError(f"no microphone {asked}: {error}") from None
    return at, _blocks(stream)


def _blocks(stream: Any) -> Iterator[Block]:
    with stream:
        while True:
            block, lost = stream.read(stream.blocksize)
            if lost:
                raise FedserError("sound was lost: the machine hears more slowly than it is spoken; use a longer --hop")
            yield np.asarray(block, np.float32)
