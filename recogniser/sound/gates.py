"""Which stretches of a sound are speech: Silero's model, or energy and zero crossings, or all of it.

A gate is one stream's: it takes the sound at ``RATE`` in chunks of any size and gives a probability for each ``FRAME``
samples. What it has heard it carries along, so that two streams know nothing of each other.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from common.errors import FedserError, UsageError
from recogniser.sound.sessions import open_session
from recogniser.sound.silero_network import HIDDEN, SEEN, network

Signal = npt.NDArray[np.float32]

RATE = 16_000  # Hz
FRAME = 512  # samples, 32 ms
CONTEXT = SEEN - FRAME  # samples before a frame that Silero's model sees too
_SILERO = "silero_vad/data/silero_vad_16k_sequence.onnx"

ABOVE = 12.0  # dB over the noise floor from which a frame may be speech
QUIETEST = -60.0  # dB of full scale below which none is
MOST_CROSSINGS = 0.25  # sign changes a sample: vowels have 0.02 to 0.15, white noise 0.5
RISE = 0.03  # dB by which the floor rises a frame, 1 dB a second; it falls at once


class Gate(Protocol):
    """What tells speech from the rest, frame by frame."""

    def feed(self, frames: Signal) -> Signal:
        """How probably each of the next frames ``(frames, FRAME)`` is speech, ``(frames,)`` from 0 to 1."""


class SileroGate:
    """Silero's network (MIT licence), through ONNX Runtime: its package, which imports torch, is not imported.

    Raises:
        FedserError: the package ``silero-vad`` is not installed.
    """

    def __init__(self) -> None:
        _silero()
        self.before = np.zeros(CONTEXT, np.float32)
        self.state = np.zeros((2, HIDDEN), np.float32)  # hidden and cell

    def feed(self, frames: Signal) -> Signal:
        """As of any gate."""
        if not len(frames):
            return np.zeros(0, np.float32)
        return hear_beside([self], [frames])[:, 0]


def hear_beside(gates: Sequence[SileroGate], frames: Sequence[Signal]) -> Signal:
    """What some gates say of as many frames each, one or more: ``(frames, gates)``."""
    sound = np.empty((len(frames[0]), len(gates), SEEN), np.float32)
    state = np.empty((2, 1, len(gates), HIDDEN), np.float32)
    for place, (gate, own) in enumerate(zip(gates, frames, strict=True)):
        sound[:, place, CONTEXT:] = own
        sound[0, place, :CONTEXT] = gate.before
        sound[1:, place, :CONTEXT] = own[:-1, -CONTEXT:]
        state[:, 0, place] = gate.state
        gate.before = own[-1, -CONTEXT:].copy()
    speech, *after = _silero().run(["speech", "hn", "cn"], {"sound": sound, "h": state[0], "c": state[1]})
    for gate, own in zip(gates, np.stack(after)[:, 0].swapaxes(0, 1), strict=True):
        gate.state = own.copy()
    return np.asarray(speech, np.float32)


@lru_cache(maxsize=1)
def _silero() -> Any:
    try:
        files = importlib.metadata.files("silero-vad") or []
        path = Path(str(next(each for each in files if str(each) == _SILERO).locate()))
        content = network(path.read_bytes())
    except (importlib.metadata.PackageNotFoundError, StopIteration, OSError, KeyError, ValueError, IndexError):
        raise FedserError(
            "the speech gate silero needs the package silero-vad: pip install --no-deps silero-vad==6.2.3, "
            "or --vad energy"
        ) from None
    return open_session(content, path)


class EnergyGate:
    """Energy over a noise floor, and few sign changes: for small machines and little noise."""

    def __init__(self) -> None:
        self._floor: float | None = None

    def feed(self, frames: Signal) -> Signal:
        """As of any gate; 0 or 1."""
        levels = 10 * np.log10(np.square(frames.astype(np.float64)).mean(axis=1) + 1e-10)
        crossings = (np.diff(np.signbit(frames), axis=1) != 0).mean(axis=1)
        loud = [self._is_loud(float(level)) for level in levels]
        return np.asarray(np.array(loud, np.bool_) & (crossings < MOST_CROSSINGS), np.float32)

    def _is_loud(self, level: float) -> bool:
        floor = level if self._floor is None else min(level, self._floor + RISE)
        self._floor = floor
        return level > max(floor + ABOVE, QUIETEST)


class OpenGate:
    """All is speech."""

    def feed(self, frames: Signal) -> Signal:
        """As of any gate; 1."""
        return np.ones(len(frames), np.float32)


class RememberingGate:
    """Another gate, whose answers are kept, to be given again for the same sound.

    Args:
        gate: that is asked.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._said: list[Signal] = []

    def feed(self, frames: Signal) -> Signal:
        """As of the other gate."""
        said = self._gate.feed(frames)
        self._said.append(said)
        return said

    def again(self) -> RepeatingGate:
        """A gate that gives the same answers from the beginning on."""
        return RepeatingGate(np.concatenate([np.zeros(0, np.float32), *self._said]))


class RepeatingGate:
    """What another gate said of the same sound before.

    Args:
        said: ``(frames,)``.
    """

    def __init__(self, said: Signal) -> None:
        self._said, self._given = said, 0

    def feed(self, frames: Signal) -> Signal:
        """As of the other gate."""
        self._given += len(frames)
        return self._said[self._given - len(frames) : self._given]


GATES: dict[str, type[SileroGate] | type[EnergyGate] | type[OpenGate]] = {
    "silero": SileroGate,
    "energy": EnergyGate,
    "none": OpenGate,
}


def open_gate(name: str) -> Gate:
    """A gate for one stream.

    Raises:
        UsageError: there is none of that name.
        FedserError: what it needs is not installed.
    """
    if name not in GATES:
        raise UsageError(f"no speech gate {name!r}; expected {', '.join(GATES)}")
    return GATES[name]()
