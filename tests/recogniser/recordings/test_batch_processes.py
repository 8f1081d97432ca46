"""A batch in several processes is the batch in one, however it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.cli.main import join_rings, run
from common.processes.subreaper import descendants
from tests.recogniser.speech import RATE, talk

join_rings()

COUNT = 6


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first is the longest, so that it is done after others; one is broken, one is no sound at all."""
    folder = tmp_path_factory.mktemp("batch") / "recordings"
    folder.mkdir()
    for number in range(COUNT):
        sound = np.resize(talk(number % 2), RATE * (40 if number == 0 else 6))
        soundfile.write(folder / f"{number}.wav", sound, RATE)
    content = (folder / "2.wav").read_bytes()
    (folder / "2.wav").write_bytes(content[: len(content) // 2])
    (folder / "4.wav").write_text("no sound")
    return folder


def command(exported: Path, recordings: Path, out: Path, *more: str) -> list[str]:
    return ["recognise", str(recordings), "--model", str(exported), "--out", str(out), "--format", "csv", *more]


def written(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_it_is_the_same_whatever_their_number(
    exported: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for jobs in ("1", "3"):
        assert run(command(exported, recordings, tmp_path / jobs, "--jobs", jobs)) == 1
        said.append(capsys.readouterr())
    assert said[0] == said[1]
    assert [line.partition(": ")[0] for line in said[1].out.splitlines()] == [
        str(recordings / f"{number}.wav") for number in range(COUNT)
    ]
    assert [line.split(": ")[2].rpartition("/")[2] for line in said[1].err.splitlines()[:-1]] == ["2.wav", "4.wav"]
    assert said[1].err.splitlines()[-1].endswith("2 of 6 recordings cannot be used, or not all of each")
    assert written(tmp_path / "1") == written(tmp_path / "3")
    assert len(written(tmp_path / "3")) == 2 * COUNT
    assert run(["recognise", str(recordings), "--model", str(exported), "--jobs", "2"]) == 1
    lines = capsys.readouterr().out
    assert run(["recognise", str(recordings), "--model", str(exported), "--jobs", "1"]) == 1
    assert capsys.readouterr().out == lines


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found by /proc")
def test_a_killed_batch_leaves_no_process_and_goes_on(
    exported: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = command(exported, recordings, tmp_path / "killed", "--jobs", "2")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "common.cli.main", *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert "0.wav" in process.stdout.readline()
        workers = descendants(process.pid)
        process.send_signal(signal.SIGKILL)
        process.stdout.read()  # to its end, which comes with that of the last process that could write to it
    assert len(workers) == 2
    first = (tmp_path / "killed" / "0.json").stat().st_mtime_ns
    capsys.readouterr()
    assert run(asked) == 1
    assert capsys.readouterr().out.splitlines()[0].endswith("(done before)")
    assert (tmp_path / "killed" / "0.json").stat().st_mtime_ns == first
    assert run(command(exported, recordings, tmp_path / "whole", "--jobs", "1")) == 1
    assert written(tmp_path / "killed") == written(tmp_path / "whole")


def test_a_process_that_is_killed_is_told_in_a_line(exported: Path, recordings: Path, tmp_path: Path) -> None:
    asked = command(exported, recordings, tmp_path / "out", "--jobs", "2")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "common.cli.main", *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        while not (workers := descendants(process.pid)):
            assert process.poll() is None
        os.kill(workers[0], signal.SIGKILL)
        process.stdout.read()
        said = process.stderr.read().splitlines()
    assert process.returncode == 1
    assert said[-1].startswith("fedser: error: a process that recognises was killed")
