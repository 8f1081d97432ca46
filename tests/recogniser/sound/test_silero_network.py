from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import onnx
import pytest

from recogniser.sound.gates import FRAME, SileroGate
from recogniser.sound.onnx_bytes import weights_of
from recogniser.sound.sessions import open_session
from recogniser.sound.silero_network import HIDDEN, SEEN, network
from tests.recogniser.sound.test_gates import framed
from tests.recogniser.speech import talk


@pytest.fixture
def content() -> bytes:
    """Silero's own file."""
    files = importlib.metadata.files("silero-vad") or []
    return Path(str(next(own for own in files if own.name == "silero_vad_16k_sequence.onnx").locate())).read_bytes()


def test_it_says_what_sileros_own_says(content: bytes) -> None:
    frames = framed(talk(0))
    before = np.concatenate([np.zeros((1, SEEN - FRAME), np.float32), frames[:-1, FRAME - SEEN :]])
    state = np.zeros((1, 1, HIDDEN), np.float32)
    own = open_session(content, "silero")
    [expected] = own.run(["speech_probs"], {"input": np.hstack([before, frames]), "h": state, "c": state})
    assert expected.max() > 0.9 > 0.1 > expected.min()
    np.testing.assert_allclose(SileroGate().feed(frames), expected, atol=2e-5)


def test_bytes_are_what_onnx_reads_and_writes(content: bytes) -> None:
    written = network(content)
    onnx.checker.check_model(onnx.load_from_string(written))
    ours, theirs = weights_of(content), onnx.load_from_string(content).graph.initializer
    assert len(ours) == len(theirs)
    for tensor in theirs:
        np.testing.assert_array_equal(ours[tensor.name], onnx.numpy_helper.to_array(tensor))


@pytest.mark.parametrize("cut", [0, 100, 10_000])
def test_another_file_is_none_that_it_knows(content: bytes, cut: int) -> None:
    with pytest.raises((KeyError, ValueError, IndexError)):
        network(content[:cut])
