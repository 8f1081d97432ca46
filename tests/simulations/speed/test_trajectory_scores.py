"""Held-out speakers' utterances in one recording, and what a run's models make of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.cli import main
from common.errors import UsageError
from common.progress import Display
from common.utterance import Utterance
from common.voices.speech import speak
from common.voices.voice import draw_voice
from simulations.speed.joined_speech import BELOW, GAPS, join, speech_bounds
from simulations.speed.trajectory_scores import run
from tests.simulations import tiny
from tests.simulations.speed.test_window_scores import simulated

RATE = 16_000


def voices(folder: Path) -> Path:
    """Four made-up speakers' sixteen utterances, of two emotions."""
    path, generator = folder / "manifest.csv", np.random.default_rng(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "emotion", "speaker"])
        for speaker in range(4):
            voice = draw_voice(generator, "female" if speaker % 2 else "male")
            for emotion in ("anger", "sadness") * 2:
                name = f"{speaker}-{generator.integers(2**32)}.wav"
                soundfile.write(folder / name, speak(generator, voice, emotion), RATE)
                writer.writerow([name, emotion, f"s{speaker}"])
    return path


def test_joined_speech_lies_where_it_is_said_to(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(RATE) / 5)
    quiet = np.concatenate([np.zeros(RATE // 2), tone, np.zeros(RATE // 4)])
    soundfile.write(tmp_path / "x.wav", quiet, RATE)
    own = [Utterance(path=tmp_path / "x.wav", emotion=name, speaker="s", corpus="x") for name in ("anger", "sadness")]
    found = join(own, RATE, 3)
    assert {span.emotion for span in found.spans} == {"anger", "sadness"}
    spoken = np.zeros(len(found.sound), np.bool_)
    for span in found.spans:
        assert span.end - span.start == pytest.approx(1.0, abs=0.011)
        spoken[round(span.start * RATE) : round(span.end * RATE)] = True
    assert not found.sound[~spoken].any()
    first, second = found.spans
    assert GAPS[0] <= second.start - first.end - 0.75 <= GAPS[1] + 0.011
    assert np.array_equal(join(own, RATE, 3).sound, found.sound)
    assert len(join(own, RATE, 4).sound) != len(found.sound)


def test_speech_reaches_down_to_a_level_and_no_further() -> None:
    tone = np.sin(np.arange(RATE) / 5).astype(np.float32)
    under = [np.float32(10 ** ((rest - BELOW) / 20)) for rest in (-3, 3)]
    sound = np.concatenate([under[0] * tone, under[1] * tone, tone, under[0] * tone])
    assert speech_bounds(sound, RATE) == (RATE, 3 * RATE)


def test_a_click_is_no_speech_and_a_pause_inside_is() -> None:
    tone, silence = np.sin(np.arange(RATE) / 5).astype(np.float32), np.zeros(RATE // 2, np.float32)
    click, part = tone[: RATE // 20], tone[: RATE // 5]
    sound = np.concatenate([click, silence, part, silence, part, silence, click])
    first = len(click) + len(silence)
    assert speech_bounds(sound, RATE) == (first, first + 2 * len(part) + len(silence))
    assert speech_bounds(click, RATE) == (0, len(click))  # all there is


@pytest.mark.slow
def test_a_run_s_models_hear_their_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "voices").mkdir()
    simulated(tmp_path / "out", voices(tmp_path / "voices"))
    with Display() as display:
        told = run(tmp_path / "out", 0, display)
    assert [own["fold"] for own in told["folds"]] == ["kfold:2:0", "kfold:2:1"]
    assert list(told["summary"]) == ["recording", "running", "none", "windows"]
    for error in told["summary"].values():
        assert error["eder"] == pytest.approx(error["missed"] + error["false"] + error["confused"])
        assert {name: error[name] for name in ("missed", "false")} == {
            name: told["summary"]["none"][name] for name in ("missed", "false")
        }
        assert error["missed"] + error["false"] < 0.5
    capsys.readouterr()
    assert main.run(["bench", "trajectory", "--run", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert main.run(["bench", "trajectory", "--run", str(tmp_path / "out"), "--seed", "1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(told["summary"])


def test_matrices_are_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    simulated(tmp_path / "out", tiny.write(tmp_path / "corpus"), data__held_out="kfold:4:0")
    with (
        Display() as display,
        pytest.raises(UsageError, match="matrices of features, expected sounds to join") as error,
    ):
        run(tmp_path / "out", 0, display)
    assert "\n" not in str(error.value)
