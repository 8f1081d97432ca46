"""A minute of two people who take turns, in IEMOCAP's layout: who said what, in every form; a kill loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pympi
import pytest
import soundfile
from praatio import textgrid

from common.cli.main import join_rings, run
from recogniser.formats.available_formats import parse_formats
from recogniser.sound.turns import read_turns
from simulations.synthesis.corpus import synthesize
from tests.recogniser.speech import RATE, Signal

join_rings()

MINUTE, GAP = 60, 0.8  # seconds
FORMATS = "json,csv,textgrid,eaf,rttm"
TURNS = 24


@pytest.fixture(scope="module")
def dialogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session's turns, the woman's and the man's by turns, one after the other; and beside it who speaks when."""
    folder = tmp_path_factory.mktemp("dialogue")
    synthesize(folder / "corpus", layout="iemocap", speakers=2, utterances=TURNS, workers=1)
    paths = sorted(folder.glob("corpus/Session1/sentences/wav/*/*.wav"), key=lambda path: (path.stem[-3:], path.stem))
    assert len(paths) == TURNS
    parts: list[Signal] = [np.zeros(round(GAP * RATE), np.float32)]
    lines, at = [], GAP
    for path in paths:
        sound, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE
        parts += [sound, np.zeros(round(GAP * RATE), np.float32)]
        lines.append(f"SPEAKER session 1 {at:.3f} {len(sound) / RATE:.3f} <NA> <NA> Ses01{path.stem[-4]} <NA> <NA>")
        at += len(sound) / RATE + GAP
    whole = np.concatenate(parts)[: MINUTE * RATE]
    soundfile.write(folder / "session.wav", whole, RATE)
    (folder / "session.rttm").write_text("\n".join(lines))
    return folder


def test_each_turn_is_its_speaker_s_and_every_form_says_the_same(
    exported: Path, dialogue: Path, tmp_path: Path
) -> None:
    command = ["recognise", str(dialogue / "session.wav"), "--model", str(exported), "--out", str(tmp_path)]
    assert run([*command, "--format", FORMATS, "--adapt", "running", "--speakers", str(dialogue / "session.rttm")]) == 0
    found = json.loads((tmp_path / "session.json").read_text())
    segments = found["segments"]
    assert {own["speaker"] for own in segments} == {"Ses01F", "Ses01M"}
    turns = read_turns(dialogue / "session.rttm")["session"]
    assert all(turns.speaker_at((own["start"] + own["end"]) / 2) == own["speaker"] for own in segments)
    assert len(segments) > 8
    for name in ("Ses01F", "Ses01M"):  # each has heard itself alone, and more each time
        heard = [own["heard"] for own in segments if own["speaker"] == name]
        assert heard[0] == 0
        assert heard == sorted(heard)
    expected = [(own["start"], own["end"], own["emotion"]) for own in segments]
    assert {form.ending for form in parse_formats(FORMATS)} <= {path.suffix for path in tmp_path.iterdir()}
    for told in (in_rttm(tmp_path), in_textgrid(tmp_path), in_eaf(tmp_path), in_csv(tmp_path)):
        assert len(told) == len(expected)
        for one, other in zip(sorted(told), sorted(expected), strict=True):
            assert one[:2] == pytest.approx(other[:2], abs=1e-3)
            assert one[2] == other[2]


def in_rttm(folder: Path) -> list[Any]:
    lines = [line.split() for line in (folder / "session.rttm").read_text().splitlines()]
    return [(float(own[3]), float(own[3]) + float(own[4]), own[7]) for own in lines]


def in_csv(folder: Path) -> list[Any]:
    head, *rows = [line.split(",") for line in (folder / "session.csv").read_text().splitlines()]
    places = [head.index(name) for name in ("start", "end", "emotion")]
    return [(float(row[places[0]]), float(row[places[1]]), row[places[2]]) for row in rows]


def in_textgrid(folder: Path) -> list[Any]:
    grid = textgrid.openTextgrid(str(folder / "session.TextGrid"), includeEmptyIntervals=False)
    tiers = [grid.getTier(name) for name in grid.tierNames if "emotion" in name]
    return [(own.start, own.end, own.label) for tier in tiers for own in tier.entries]


def in_eaf(folder: Path) -> list[Any]:
    eaf = pympi.Eaf(str(folder / "session.eaf"))
    names = [name for name in eaf.get_tier_names() if "emotion" in name]
    return [(a[0] / 1000, a[1] / 1000, a[2]) for name in names for a in eaf.get_annotation_data_for_tier(name)]


def test_a_batch_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(
    exported: Path, dialogue: Path, tmp_path: Path
) -> None:
    """Killed when its first result is told: what is whole stays, and the rest is done."""
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    sound, _ = soundfile.read(dialogue / "session.wav", dtype="float32")
    for number in range(4):
        soundfile.write(recordings / f"{number}.wav", sound[number * 12 * RATE : (number + 1) * 12 * RATE], RATE)

    def command(out: str) -> list[str]:
        return ["recognise", str(recordings), "--model", str(exported), "--out", str(tmp_path / out), "--adapt", "none"]

    assert run(command("whole")) == 0
    started = [sys.executable, "-u", "-m", "common.cli.main", *command("killed")]
    with subprocess.Popen(started, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert "0.wav" in process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    first = (tmp_path / "killed" / "0.json").stat().st_mtime_ns
    assert run(command("killed")) == 0
    assert (tmp_path / "killed" / "0.json").stat().st_mtime_ns == first
    for number in range(4):
        name = f"{number}.json"
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert len(list((tmp_path / "killed").iterdir())) == 4
