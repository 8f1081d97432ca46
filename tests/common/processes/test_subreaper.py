from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.processes import subreaper

# A program that starts another in a group of its own, writes both process ids, and waits.
NEST = (
    "import os, subprocess, sys, time;"
    "child = subprocess.Popen(['sleep', '60'], start_new_session=True);"
    "open(sys.argv[1] + '.new', 'w').write(f'{os.getpid()} {child.pid}');"
    "os.rename(sys.argv[1] + '.new', sys.argv[1]);"
    "time.sleep(60)"
)
OWNER = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(60)"


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def ends(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """The process that started the guard, and those that must end with it: the guard, its program, the program's."""
    told = tmp_path / "pids"
    program = subreaper.command(sys.executable, "-c", NEST, str(told))
    owner = subprocess.Popen([sys.executable, "-c", OWNER, *program])
    while not told.exists():
        time.sleep(0.02)
    [watcher] = [
        pid for pid in subreaper.descendants(owner.pid) if b"subreaper.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    yield owner, [watcher, *map(int, told.read_text().split())]
    owner.kill()
    owner.wait()


def test_all_end_with_a_killed_owner(nest: tuple[subprocess.Popen[bytes], list[int]]) -> None:
    owner, pids = nest
    owner.kill()
    assert ends(pids)


def test_all_end_when_the_guard_is_told(nest: tuple[subprocess.Popen[bytes], list[int]]) -> None:
    _, pids = nest
    os.kill(pids[0], signal.SIGTERM)
    assert ends(pids)


def test_what_a_killed_program_started_ends_too(nest: tuple[subprocess.Popen[bytes], list[int]]) -> None:
    _, pids = nest
    os.kill(pids[1], signal.SIGKILL)
    assert ends(pids)


def test_the_program_ends_with_a_killed_guard(nest: tuple[subprocess.Popen[bytes], list[int]]) -> None:
    _, pids = nest
    os.kill(pids[0], signal.SIGKILL)
    assert ends(pids[:2])


@pytest.mark.parametrize(("program", "code"), [("raise SystemExit(3)", 3), ("import os; os.abort()", 134)])
def test_the_code_is_the_programs(program: str, code: int) -> None:
    assert subprocess.run(subreaper.command(sys.executable, "-c", program), check=False).returncode == code
