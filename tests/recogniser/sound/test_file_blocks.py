"""Files of any length are read in blocks, and what is wrong with them is told with what could be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from recogniser.sound.file_blocks import SECONDS, FileBlocks
from tests.recogniser.speech import RATE, Signal, talk


def read(path: Path) -> tuple[FileBlocks, Signal]:
    blocks = FileBlocks(path=path)
    return blocks, np.concatenate([np.zeros((0, 1), np.float32), *blocks])


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_the_blocks_are_the_file(tmp_path: Path, ending: str) -> None:
    sound = np.tile(talk(0), (2, 6)).T
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, sound, RATE)
    expected, _ = soundfile.read(path, dtype="float32")
    blocks = FileBlocks(path=path)
    parts = list(blocks)
    assert len(parts) > 2
    assert {len(part) for part in parts[:-1]} == {SECONDS * RATE}
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert (blocks.rate, blocks.channels, blocks.samples, blocks.problems) == (RATE, 2, len(sound), [])


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_of_a_file_cut_short_the_rest_is_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    soundfile.write(path, talk(0), RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    blocks, sound = read(path)
    assert [error.kind for error in blocks.problems] == ["truncated"]
    assert len(talk(0)) * 0.3 < len(sound) < len(talk(0)) * 0.7
    np.testing.assert_allclose(sound[:, 0], talk(0)[: len(sound)], atol=1e-4)


def test_what_is_no_number_is_silence_and_is_told(tmp_path: Path) -> None:
    sound = talk(0).copy()
    sound[RATE : RATE + 3] = np.nan
    soundfile.write(tmp_path / "x.wav", sound, RATE, subtype="FLOAT")
    blocks, found = read(tmp_path / "x.wav")
    assert [(error.kind, error.detail) for error in blocks.problems] == [
        ("non-finite", "3 samples are no finite numbers, the first at 1.000 s; taken for silence")
    ]
    assert not found[RATE : RATE + 3].any()


@pytest.mark.parametrize("content", [None, b"", b"no sound" * 99])
def test_no_sound_at_all(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.wav").write_bytes(content)
    blocks, sound = read(tmp_path / "x.wav")
    assert [error.kind for error in blocks.problems] == ["unreadable"]
    assert (len(sound), blocks.rate) == (0, 0)


def test_floats_of_whole_numbers_are_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", talk(0) * 32768, RATE, subtype="FLOAT")
    assert [error.kind for error in read(tmp_path / "x.wav")[0].problems] == ["beyond-full-scale"]
