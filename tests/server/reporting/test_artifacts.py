"""What is drawn after a run is tried: whatever fails there, the result and the model are whole, and a line says it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from common.escaping import escaped
from common.progress import Display
from server.reporting.artifacts import DRAWN, leave, tell
from server.reporting.run_record import Result, load_result
from tests.server.example_result import lean_result, renamed

MODEL = bytes(2000)
LONG = "北京大学第六医院精神科门诊录音室第三诊室二〇二一年夏季采"  # 28 characters, 84 bytes
NAMES = {
    "GBK": b"\xc1\xf5\xb3\xa9",
    "Latin-2": b"wynik\xb3",
    "28 characters": LONG.encode(),
    "255 bytes": b"x" * 255,
    "emoji": "👩\u200d👧😀".encode(),
    "right to left": "\u05e9\u05dc\u05d5\u05dd\u202egpj".encode(),
    "a line break": b"a\nb",
    "a leading dash": b"-x",
    "dot": b".hidden",
    "spaces": b" a  b ",
    "mathematics": b"$x_{^\\frac",
    "markup": b"<b>[/red]&'\"`|*_#",
    "a path": b"..\\..",
    "a form": b"%s{0}\x1b[31m",
}
FAST = ("GBK",)  # a page takes a second, and a run three
EACH = [pytest.param(own, id=name, marks=() if name in FAST else pytest.mark.slow) for name, own in NAMES.items()]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    path.write_bytes(MODEL)
    return path


def whole(out: Path) -> bool:
    return (out / "model.safetensors").read_bytes() == MODEL and load_result(out).summary is not None


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process grows beyond a size: what a write says is as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", EACH)
def test_a_run_of_any_name_leaves_all_that_it_leaves(
    tmp_path: Path, model: Path, name: bytes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder, the corpus's root, the command, a file and, as text, a site, a fold and a speaker have the name."""
    own, out = os.fsdecode(name), tmp_path / os.fsdecode(name)
    entry = renamed(lean_result(), {"site-0": escaped(own), "03": escaped(own)})
    entry["command"] = f"fedser simulate --out {own}"
    entry["config"]["data"]["root"] = own
    entry["problems"] = [{"path": own, "kind": "unreadable", "detail": own}]
    entry["folds"][0]["fold"] = f"speaker:../{escaped(own)}"
    done = Result.from_json(entry)
    leave(done, out, model)
    tell(done, out, Display())
    assert not caplog.text
    assert sorted(path.name for path in out.iterdir()) == sorted((*DRAWN, "model.safetensors", "result.json"))
    assert load_result(out).as_json() == entry
    assert len(list(tmp_path.iterdir())) == 2  # nothing was written beside it
    for page in ("report.html", "MODEL_CARD.md"):
        (out / page).read_text(encoding="utf-8")
    assert len(list((out / "tensorboard").iterdir())) == len(entry["folds"])
    capsys.readouterr().err.encode()


def test_a_full_disk_costs_a_page_and_not_the_result(
    tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    done, out = Result.from_json(lean_result()), tmp_path / "out"
    with full_disk(20_000):
        leave(done, out, model)
    tell(done, out, Display())
    assert whole(out)
    assert not (out / "report.html").exists()
    assert "report.html is missing" in caplog.text
    assert "cannot be written: File too large" in caplog.text
    assert all(record.getMessage().count("\n") == 0 and not record.exc_info for record in caplog.records)
    assert "what is missing is written again by --resume" in capsys.readouterr().err
    caplog.clear()
    leave(done, out, model)  # as --resume does
    assert not caplog.text
    assert (out / "report.html").exists()


@pytest.mark.parametrize("broken", DRAWN)
def test_whatever_fails_alone_the_others_are_there(
    tmp_path: Path, model: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    done, out = Result.from_json(lean_result()), tmp_path / "out"
    if broken == "tensorboard":
        out.mkdir()
        (out / broken).write_text("a file")
    else:
        (out / broken / "a folder").mkdir(parents=True)
    leave(done, out, model)
    assert whole(out)
    assert [record.getMessage().split(" is missing (")[0] for record in caplog.records] == [str(out / broken)]
    assert all((out / name).exists() for name in DRAWN)


def test_without_a_font_the_result_is_kept(
    tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib import font_manager

    fonts: Any = font_manager.fontManager
    monkeypatch.setattr(fonts, "ttflist", [])
    fonts._findfont_cached.cache_clear()
    try:
        leave(Result.from_json(lean_result()), tmp_path / "out", model)
    finally:
        fonts._findfont_cached.cache_clear()
    assert whole(tmp_path / "out")
    assert "report.html is missing (" in caplog.text
