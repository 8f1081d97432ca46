"""A suppressor in front: it cleans blocks as it cleans the whole, in bounded memory, without torch."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.cli.main import join_rings, run
from common.errors import FedserError
from recogniser.sound import noise_suppression
from recogniser.sound.file_blocks import FileBlocks
from recogniser.sound.noise_suppression import noise_reduction, without_noise
from tests.recogniser.speech import RATE, talk

join_rings()

needs_noisereduce = pytest.mark.skipif(
    importlib.util.find_spec("noisereduce") is None, reason="the extra denoise is not installed"
)


def written(path: Path, seconds: float, channels: int = 2) -> Path:
    """Voices in noise, another in each channel."""
    count, generator = round(seconds * RATE), np.random.default_rng(0)
    sound = np.stack([np.resize(talk(seed), count) for seed in range(channels)], axis=1)
    soundfile.write(path, sound + generator.normal(0, 0.02, sound.shape), RATE)
    return path


@needs_noisereduce
def test_blocks_are_cleaned_as_the_whole_is(tmp_path: Path) -> None:
    path = written(tmp_path / "x.wav", 95)  # two and a half times what is cleaned at once
    blocks = FileBlocks(path=path)
    parts = list(without_noise(blocks))
    sound, _ = soundfile.read(path, dtype="float32")
    expected = noise_reduction()(sound.T, RATE, stationary=True).T
    assert len(parts) == 3
    np.testing.assert_allclose(np.concatenate(parts), expected, atol=1e-6)
    assert np.square(expected).mean() < 0.9 * np.square(sound).mean()
    assert (blocks.samples, blocks.problems) == (len(sound), [])


@needs_noisereduce
@pytest.mark.parametrize("seconds", [0.01, 0.5])
def test_of_little_sound_all_is_there(tmp_path: Path, seconds: float) -> None:
    [part] = without_noise(FileBlocks(path=written(tmp_path / "x.wav", seconds)))
    assert part.shape == (round(seconds * RATE), 2)
    assert np.isfinite(part).all()


@needs_noisereduce
def test_a_rate_that_it_cannot_take_is_told(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", talk(0), 4000)
    blocks = FileBlocks(path=tmp_path / "x.wav")
    assert list(without_noise(blocks)) == []
    [problem] = blocks.problems
    assert (problem.kind, problem.detail.splitlines()) == (
        "sampling-rate",
        ["4000 Hz, and --denoise takes 5120 to 256000: leave it out, or resample"],
    )


@needs_noisereduce
@pytest.mark.parametrize("rate", noise_suppression.RATES)
def test_the_rates_that_are_named_are_taken(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "x.wav", talk(0)[:4000], rate)
    [part] = without_noise(FileBlocks(path=tmp_path / "x.wav"))
    assert len(part) == 4000


@needs_noisereduce
def test_it_does_not_bring_torch_along() -> None:
    code = """
import sys
from recogniser.sound.noise_suppression import noise_reduction
noise_reduction()
print({"torch", "matplotlib"} & set(sys.modules))
import torch
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"


@needs_noisereduce
def test_a_recording_is_recognised_as_its_cleaned_copy(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "x.wav", 6, channels=1)
    sound, _ = soundfile.read(path, dtype="float32")
    soundfile.write(tmp_path / "clean.wav", noise_reduction()(sound, RATE, stationary=True), RATE, subtype="FLOAT")
    command = ["recognise", "--model", str(exported)]
    found = []
    for more in ([str(path), "--denoise"], [str(tmp_path / "clean.wav")], [str(path)]):
        assert run([*command, *more]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["segments"] == found[1]["segments"] != found[2]["segments"]
    assert [own["settings"]["denoise"] for own in found] == [True, False, False]
    assert len(found[0]["segments"]) > 1


def test_live_sound_is_not_cleaned(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["listen", "--model", str(exported), "--denoise", "-"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("it looks behind each sound at what is still to come; fedser recognise has it for files")


def test_a_missing_extra_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "noisereduce", None)
    with pytest.raises(FedserError, match=r"^--denoise needs noisereduce: pip install 'fedser\[denoise\]'") as error:
        noise_reduction()
    assert "\n" not in str(error.value)
