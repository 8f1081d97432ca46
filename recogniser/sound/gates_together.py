"""The gates of many streams asked at once: Silero's network hears those that have as many new frames together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from recogniser.sound.gates import Gate, Signal, SileroGate, hear_beside


def ask_together(gates: Sequence[Gate], frames: Sequence[Signal]) -> list[Signal]:
    """What each gate says of its own frames ``(frames, FRAME)``, as if it were asked alone."""
    answers: dict[int, Signal] = {}
    alike = defaultdict[int, list[tuple[int, SileroGate]]](list)
    for place, (gate, own) in enumerate(zip(gates, frames, strict=True)):
        if isinstance(gate, SileroGate) and len(own):
            alike[len(own)].append((place, gate))
        else:
            answers[place] = gate.feed(own)
    for group in alike.values():
        said = hear_beside([gate for _, gate in group], [frames[place] for place, _ in group])
        answers |= {place: own for (place, _), own in zip(group, said.T, strict=True)}
    return [answers[place] for place in range(len(gates))]
