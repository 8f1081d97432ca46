"""What is no speech, and must not be heard as any: silence, noise, a mains hum, a melody; each at several levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import ListenSettings
from recogniser.listening.listener import Listener
from recogniser.listening.recording_result import Segment
from simulations.hearing.made_up_sound import RATE, Signal

KINDS = ("silence", "white", "pink", "hum", "melody")
LEVELS = (-60, -40, -20)  # dB of full scale
SECONDS = 600.0
_NOTES = (262, 294, 330, 349, 392, 440, 494, 523)  # Hz, half a second each
_NOTE = RATE // 2  # samples
_BLOCK = 10 * RATE  # samples that are heard at once


def no_speech(kind: str, seconds: float, decibels: float) -> Signal:
    """``silence``, ``white`` or ``pink`` noise, a mains ``hum``, or a ``melody``, at a level in dB of full scale."""
    generator, count = np.random.default_rng(1), round(seconds * RATE)
    time = np.arange(count) / RATE
    if kind == "silence":
        return np.zeros(count, np.float32)
    if kind == "white":
        sound = generator.normal(size=count)
    elif kind == "pink":
        spectrum = np.fft.rfft(generator.normal(size=count))
        sound = np.fft.irfft(spectrum / np.sqrt(np.maximum(1, np.arange(len(spectrum)))), count)
    elif kind == "hum":
        sound = sum((np.sin(2 * np.pi * 50 * k * time) / k for k in (1, 2, 3, 5)), np.zeros(count))
    else:
        notes = generator.choice(_NOTES, -(-count // _NOTE))
        decay = np.exp(-(np.arange(count) % _NOTE) / (_NOTE / 2))
        sound = np.sin(2 * np.pi * np.cumsum(np.repeat(notes, _NOTE)[:count]) / RATE) * decay
    return np.asarray(sound / sound.std() * 10 ** (decibels / 20), np.float32)


def run(model: Path, seconds: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """Hear all of them with the default gate.

    Args:
        model: an export's folder.
        seconds: of each.
        tell: of each.

    Returns:
        JSON-ready: ``segments``, how many were heard in all, and ``by_kind`` those of each kind at each level.
    """
    hears = ExportedModel.load(model)
    found: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        levels = LEVELS if kind != "silence" else LEVELS[:1]
        found[kind] = {str(level): _segments(hears, no_speech(kind, seconds, level)) for level in levels}
        tell(f"{kind}: {sum(found[kind].values())} segments")
    whole = sum(count for own in found.values() for count in own.values())
    return {"seconds": seconds, "segments": whole, "by_kind": found}


def _segments(model: ExportedModel, sound: Signal) -> int:
    listener = Listener(model, ListenSettings(), RATE, 1)
    events = [event for at in range(0, len(sound), _BLOCK) for event in listener.hear(sound[at : at + _BLOCK, None])]
    return sum(isinstance(event, Segment) for event in [*events, *listener.end()])
