"""A run is exported into the cache once; where that can't be done, one line says what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from common.errors import FedserError, UsageError
from recogniser.listening.run_export import cache_directory, open_model
from tests.recogniser.saved import save_model


@pytest.mark.slow
def test_a_run_is_exported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    weights = save_model(tmp_path / "run")
    model = open_model(tmp_path / "run")
    (folder,) = cache_directory().iterdir()
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.setitem(sys.modules, "recogniser.export.exporting", None)  # nothing is exported any more
    assert open_model(weights).said == model.said
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times
    # What was cut short there is made anew; without the means a line says where that can be done.
    (folder / "model.json").unlink()
    with pytest.raises(FedserError, match="run fedser export where it was trained"):
        open_model(weights)
    monkeypatch.undo()
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    assert open_model(weights).said == model.said


def test_a_run_with_an_encoder_in_front_cannot_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDSER_CACHE", str(tmp_path / "cache"))
    front = {"encoder__sha256": "0" * 64, "encoder__layers": 4, "encoder__width": 6, "encoder__layer": "2"}
    more = {"model__hidden": 0, "model__kind": "linear", "model__statistics": "rows"}
    save_model(tmp_path / "run", **front, **more)
    with pytest.raises(UsageError, match=r"takes no sound by itself .* fedser predict labels whole recordings"):
        open_model(tmp_path / "run")
    assert not any(cache_directory().iterdir())


def test_neither_a_run_nor_an_export(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the folder of a finished run or of an export"):
        open_model(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 2}')
    with pytest.raises(UsageError, match="of format 2"):
        open_model(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 1, "files": {"model.onnx": ""}}')
    with pytest.raises(UsageError, match="takes features and no sound"):
        open_model(tmp_path)
