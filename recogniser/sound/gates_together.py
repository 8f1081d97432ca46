"""The gates of many streams asked at once: Silero's network hears a frame of each stream beside one another.

Its file takes one stream's frames one after the other. Between its convolutions, which see each frame alone, and its
LSTM lies a transposition that makes the frames steps of time; transposed otherwise, they are streams. That and the
shapes of the states that go with it are all that is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from recogniser.sound.gates import Gate, Signal, SileroGate, silero_file
from recogniser.sound.sessions import open_session

# As protobuf writes them: the attribute's numbers, and an array's sides, of which a free one has no name.
_IN_TIME, _BESIDE = bytes([64, 0, 64, 2, 64, 1]), bytes([64, 2, 64, 0, 64, 1])
_ONE = bytes([10, 2, 8, 1, 10, 2, 8, 1, 10, 3, 8, 128, 1])
_MANY = bytes([10, 2, 8, 1, 10, 2, 18, 0, 10, 3, 8, 128, 1])


def ask_together(gates: Sequence[Gate], frames: Sequence[Signal]) -> list[Signal]:
    """What each gate says of its own frames ``(frames, FRAME)``, as if it were asked alone."""
    own = [place for place, gate in enumerate(gates) if isinstance(gate, SileroGate) and len(frames[place])]
    if len(own) < 2 or _network() is None:
        return [gate.feed(each) for gate, each in zip(gates, frames, strict=True)]
    said = _beside([gates[place] for place in own], [frames[place] for place in own])  # type: ignore[misc]
    answers = dict(zip(own, said, strict=True))
    return [answers[place] if place in answers else gate.feed(frames[place]) for place, gate in enumerate(gates)]


def _beside(gates: Sequence[SileroGate], frames: Sequence[Signal]) -> list[Signal]:
    """Each gate's next frame at a time, those that have more frames first."""
    order = sorted(range(len(gates)), key=lambda place: -len(frames[place]))
    seen = [gates[place].seen(frames[place]) for place in order]
    state = [np.concatenate([gates[place].state[part] for place in order], axis=1) for part in (0, 1)]
    said = np.zeros((len(gates), len(seen[0])), np.float32)
    for step in range(len(seen[0])):
        count = sum(len(own) > step for own in seen)
        given = {
            "input": np.stack([own[step] for own in seen[:count]]),
            "h": state[0][:, :count],
            "c": state[1][:, :count],
        }
        said[:count, step], hidden, cell = _network().run(None, given)
        state[0][:, :count], state[1][:, :count] = hidden, cell
    answers: dict[int, Signal] = {}
    for row, place in enumerate(order):
        gates[place].state = [own[:, row : row + 1].copy() for own in state]
        answers[place] = said[row, : len(frames[place])]
    return [answers[place] for place in range(len(gates))]


@lru_cache(maxsize=1)
def _network() -> Any:
    """Silero's network for a frame of each of some streams; None where its file is of a version not known here."""
    content = silero_file()
    if (content.count(_IN_TIME), content.count(_ONE)) != (1, 2):
        return None
    return open_session(content.replace(_IN_TIME, _BESIDE).replace(_ONE, _MANY), "silero-vad")
