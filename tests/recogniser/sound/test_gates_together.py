from __future__ import annotations

import numpy as np

from recogniser.sound.gates import Gate, open_gate
from recogniser.sound.gates_together import ask_together
from simulations.hearing.no_speech import no_speech
from tests.recogniser.sound.test_gates import framed
from tests.recogniser.speech import Signal, talk


def test_gates_that_are_asked_together_say_what_each_says_alone() -> None:
    """Of streams that are ahead of others, or have nothing new, or another gate."""
    sounds = [framed(talk(0)), framed(no_speech("white", 3, -20)), framed(talk(1)), framed(talk(1))]
    names = ["silero", "silero", "energy", "silero"]
    gates: list[Gate] = [open_gate(name) for name in names]
    done, said = [0] * 4, list[list[Signal]]([[], [], [], []])
    for turn in range(200):
        sizes = [(turn + 2 * place) % 5 for place in range(4)]
        parts = [own[at : at + size] for own, at, size in zip(sounds, done, sizes, strict=True)]
        for own, answer, part in zip(said, ask_together(gates, parts), parts, strict=True):
            assert len(answer) == len(part)
            own.append(answer)
        done = [at + size for at, size in zip(done, sizes, strict=True)]
    for name, sound, own in zip(names, sounds, said, strict=True):
        np.testing.assert_allclose(np.concatenate(own), open_gate(name).feed(sound), atol=1e-6)
