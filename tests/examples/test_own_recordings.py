"""The script for a folder of one's own, on made-up speech that lies as its head says."""

from __future__ import annotations

import csv
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from common.corpora.catalogue import load
from simulations import load_result
from simulations.synthesis.corpus import synthesize

SCRIPT = Path(__file__).parents[2] / "examples/own_recordings.py"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four voices and three emotions, under labels of one's own."""
    made, own = tmp_path_factory.mktemp("made") / "speech", tmp_path_factory.mktemp("own")
    synthesize(made, layout="emodb", speakers=4, utterances=48, workers=0)
    for number, utterance in enumerate(load("emodb", made)):
        label = {"anger": "Wut", "sadness": "sad", "neutral": "neutral"}.get(utterance.emotion)
        if label:
            (own / label).mkdir(exist_ok=True)
            shutil.copy(utterance.path, own / label / f"{utterance.speaker}{'_-'[number % 2]}{number}.wav")
    (own / "notes").mkdir()
    (own / "notes/read_me.txt").write_text("no recording")
    (own / "labels.toml").write_text('Wut = "anger"\n')
    return own


def script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    monkeypatch.setattr("sys.argv", [str(SCRIPT), *arguments])
    return runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.mark.slow
def test_a_folder_becomes_a_manifest_is_checked_and_run(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    own = ["--label-map", str(recordings / "labels.toml"), "--held-out", "kfold:2:0", "--sites", "1", "--rounds", "1"]
    script(monkeypatch, str(recordings), "--out", str(tmp_path / "out"), *own)
    rows = list(csv.DictReader((recordings / "manifest.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["emotion"] for row in rows} == {"Wut", "sad", "neutral"}
    assert len({row["speaker"] for row in rows}) == 4
    result = load_result(tmp_path / "out")
    assert result.corpus.classes == ("anger", "neutral", "sadness")
    assert result.corpus.utterances == len(rows)
    printed = capsys.readouterr().out
    assert f"<Corpus manifest at {recordings / 'manifest.csv'}" in printed
    assert result.summary is not None
    assert f"UAR on unheard speakers: {result.summary.uar.mean:.3f}" in printed
    assert "guessing is 0.333" in printed


def test_a_folder_without_recordings_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"holds no recordings, expected .*/EMOTION/SPEAKER_….wav"):
        script(monkeypatch, str(tmp_path), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "manifest.csv").exists()


def test_what_the_check_finds_is_said_and_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in ("anger", "sadness"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "anna_1.wav").write_bytes(b"no sound")
    with pytest.raises(SystemExit, match="each class needs usable recordings of at least 2 speakers"):
        script(monkeypatch, str(tmp_path), "--out", str(tmp_path / "out"))
    assert f"unreadable: {tmp_path / 'anger/anna_1.wav'}: " in capsys.readouterr().out
