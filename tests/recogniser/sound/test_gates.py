"""Speech is told from the rest, frame by frame, whatever the chunks and whoever else is heard."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from common.errors import UsageError
from recogniser.sound.gates import FRAME, RATE, Gate, RememberingGate, SileroGate, open_gate
from recogniser.sound.hysteresis import LEAST, OPENS, SECONDS, Hysteresis
from simulations.hearing.no_speech import no_speech
from tests.recogniser.speech import Signal, talk


def framed(sound: Signal) -> Signal:
    return sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)


def in_chunks(gate: Gate, frames: Signal, size: int) -> Signal:
    return np.concatenate([gate.feed(frames[at : at + size]) for at in range(0, len(frames), size)])


@pytest.mark.parametrize("name", ["silero", "energy"])
def test_voices_are_speech_and_gaps_are_none_whatever_the_chunks(name: str) -> None:
    sound = talk(0)
    whole = open_gate(name).feed(framed(sound))
    gap = round(0.6 * RATE / FRAME)
    assert max(whole[:gap]) < OPENS
    assert max(whole[-gap:]) < OPENS
    assert (whole[2 * gap : -2 * gap] >= OPENS).mean() > 0.5
    for size in (1, 7):
        np.testing.assert_array_equal(in_chunks(open_gate(name), framed(sound), size), whole)


def test_two_streams_know_nothing_of_each_other() -> None:
    one = framed(talk(0))
    other = np.resize(framed(no_speech("white", 5, -20)), one.shape)
    alone, gates = SileroGate().feed(one), (SileroGate(), SileroGate())
    beside = []
    for at in range(0, len(one), 10):
        beside.append(gates[0].feed(one[at : at + 10]))
        gates[1].feed(other[at : at + 10])
    np.testing.assert_array_equal(np.concatenate(beside), alone)


@pytest.mark.parametrize("kind", ["silence", "white", "pink", "hum", "melody"])
@pytest.mark.parametrize("decibels", [-60, -40, -20])
def test_noise_hum_and_tones_are_no_speech(kind: str, decibels: float) -> None:
    hysteresis = Hysteresis()
    said = SileroGate().feed(framed(no_speech(kind, 12, decibels)))
    found = [own for probability in said for own in hysteresis.feed(probability)] + hysteresis.end()
    assert [own for own in found if (own.end - own.start) * SECONDS >= LEAST] == []


def test_what_is_remembered_is_given_again() -> None:
    frames = framed(talk(1))
    gate = RememberingGate(open_gate("energy"))
    said = in_chunks(gate, frames, 9)
    np.testing.assert_array_equal(in_chunks(gate.again(), frames, 4), said)


def test_all_and_nothing() -> None:
    assert open_gate("none").feed(np.zeros((3, FRAME), np.float32)).tolist() == [1, 1, 1]
    with pytest.raises(UsageError, match="silero, energy, none"):
        open_gate("webrtc")


def test_sileros_package_is_not_imported() -> None:
    code = "import sys; from recogniser.sound.gates import SileroGate; SileroGate(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"silero_vad", "torch"} & set(loaded)
