"""Bytes in pieces of any size are the samples that libsndfile finds in a file of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import AudioError, UsageError
from recogniser.sound.pcm import PcmDecoder


@pytest.mark.parametrize(("encoding", "subtype"), [("linear16", "PCM_16"), ("float32", "FLOAT"), ("mulaw", "ULAW")])
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_samples_are_those_of_a_file(tmp_path: Path, encoding: str, subtype: str, size: int) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, (300, 2)).astype(np.float32)
    path = tmp_path / "sound.raw"
    asked = {"samplerate": 8000, "format": "RAW", "subtype": subtype, "endian": "LITTLE"}
    soundfile.write(path, sound, **asked)
    expected, _ = soundfile.read(path, dtype="float32", channels=2, **asked)
    decoder, data = PcmDecoder(encoding, 2), path.read_bytes()
    parts = [decoder.decode(data[at : at + size]) for at in range(0, len(data), size)]
    decoder.end()
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_every_byte_of_mulaw() -> None:
    values = PcmDecoder("mulaw", 1).decode(bytes(range(256)))[:, 0]
    assert values[0x80] == 32124 / 32768  # G.711's largest, in 16 bits
    assert values[0x00] == -values[0x80]
    assert values[0xFF] == values[0x7F] == 0


def test_a_sample_cut_in_half_and_what_is_no_number() -> None:
    decoder = PcmDecoder("float32", 1)
    assert decoder.decode(np.array([0.5, np.nan, np.inf], "<f4").tobytes() + b"\0").tolist() == [[0.5], [0], [0]]
    assert decoder.broken == 2
    with pytest.raises(AudioError, match="1 bytes too many"):
        decoder.end()
    with pytest.raises(UsageError, match="alaw"):
        PcmDecoder("alaw", 1)
