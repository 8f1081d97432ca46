from __future__ import annotations

import io
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from common.cli import main
from server.federation.folder.coordinator_folder import Folder
from server.federation.monitor import watch
from server.federation.monitor.snapshot import look
from server.federation.runs.run_folder import FAILED, RunState
from tests.server.federation import example_folder
from tests.server.federation.example_folder import NOW, entry


def shown(folder: Folder, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(watch.drawn(look(folder, NOW)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines())


def test_a_run_at_a_glance(tmp_path: Path) -> None:
    run = example_folder.run(example_folder.folder(tmp_path, online=("charite", "st-mary")))
    example_folder.rounds(run, [entry(1, uar=0.25), entry(2, uar=0.75), entry(3, uar=0.5)])
    run.file("run.log").write_text("2026-11-21T15:29:31Z WARNING round 3: no answer in time from lausanne\n")
    text = shown(run.folder)
    assert "fl.example.org  server up  2 of 3 sites online" in text
    assert "run-1  running  round 3 of 20  12.5 s a round  3 min 32 s left  last round 8 s ago" in text
    assert "▁█▅  validation UAR 0.500, best 0.750" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["charite"] == ["●", "online", "now", "3", "73", "2.2", "1.4", "MB", "4.2", "MB", "0.500"]
    assert rows["lausanne"][:5] == ["○", "offline", "12", "min", "ago"]
    assert "15:29:31  round 3: no answer in time from lausanne" in text


def test_a_private_run_shows_epsilon_against_the_budget(tmp_path: Path) -> None:
    run = example_folder.run(
        example_folder.folder(tmp_path), settings={"privacy.unit": "speaker", "privacy.epsilon": 8.0}
    )
    example_folder.rounds(run, [entry(1, uar=None, seconds=None, epsilon=3.2, epsilon_total=5.1, budget=8.0)])
    text = shown(run.folder)
    assert "3.20, all runs 5.10 of 8" in " ".join(text.split())
    assert "recording" not in text
    assert "speakers" in text
    assert "UAR" not in text


def test_a_failed_run_says_why_and_a_server_that_is_down_is_told(tmp_path: Path) -> None:
    run = example_folder.run(example_folder.folder(tmp_path, up=False), state=RunState(state=FAILED, why="no quorum"))
    text = shown(run.folder)
    assert "server down: start fedser server" in text
    assert "no quorum" in text


def test_before_the_first_run_it_says_how_to_start_one(tmp_path: Path) -> None:
    assert "no run yet: fedser federation run starts one" in shown(example_folder.folder(tmp_path))


def test_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    assert watch.sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert watch.sparkline([0.3, None, 0.4]) == "▁ █"
    assert watch.sparkline([0.5, 0.5]) == "▄▄"
    assert watch.sparkline([]) == ""
    assert len(watch.sparkline([0.1] * 200)) == watch.WIDEST


def test_the_command_shows_it_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = example_folder.folder(tmp_path, when=datetime.now(UTC))
    assert main.run(["federation", "watch", "--dir", str(folder.root), "--once"]) == 0
    assert "3 of 3 sites online" in capsys.readouterr().out


def test_ctrl_c_is_how_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    shown_on = io.StringIO()
    watch.watch(example_folder.folder(tmp_path), Console(file=shown_on), once=False)
    assert "sites online" in shown_on.getvalue()
