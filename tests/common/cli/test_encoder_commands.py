from __future__ import annotations

import json
from pathlib import Path

import pytest

from common.cli import main
from common.encoders.known_encoders import ENCODERS
from common.encoders.opening import describe_encoder
from tests.common.encoders.hub_folders import whisper


def test_the_table_names_every_encoder(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main.run(["encoders"]) == 0
    out = capsys.readouterr().out
    for own in ENCODERS:
        assert own.name in out
    assert "* IEMOCAP, MSP-Podcast" in " ".join(out.split())
    assert "fedser downloads nothing" in out


def test_the_table_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["encoders", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [own.name for own in ENCODERS]
    assert set(rows[0]) >= {"publisher", "licence", "megabytes", "layers", "width", "trained_on", "heard", "sha256"}


def test_one_on_disk_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(whisper(tmp_path)[0])
    told = describe_encoder(Path(folder))
    assert main.run(["encoders", folder, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["sha256"], row["kind"], row["layers"], row["known"]) == (told.sha256, "whisper", 3, None)
    assert main.run(["encoders", folder]) == 0
    out = capsys.readouterr().out
    assert told.sha256 in out
    assert "layers       3, of 32 features a frame" in out
    assert f"of settings  {told.settings_sha256}" in out
    assert "not known by this hash" in out


def test_what_is_no_encoder_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["encoders", str(tmp_path)]) == 2
    assert "no config.json; expected a folder as Hugging Face's" in capsys.readouterr().err
