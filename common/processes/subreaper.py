"""Ends a program, and all that it started, when the process that wanted it ends.

Flower and Ray start processes in groups of their own, which would outlive a parent that is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

END_SECONDS = 20.0
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def command(*program: str) -> list[str]:
    """A program's command line under a guard, for any working folder."""
    return [sys.executable, "-P", __file__, *program]  # -P: the modules beside this one stay out of the way


def guard(program: list[str]) -> int:
    """Run a program, and end all that it started when this process is told to, or its parent is gone.

    Where this process is their reaper (Linux), those whose parent has ended become its children, and none gets away.

    Returns:
        The program's exit code, or 128 and the signal that ended it.
    """
    parent = os.getppid()
    _control(PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(program, start_new_session=True, preexec_fn=_end_with_parent)
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    while child.poll() is None and os.getppid() == parent and not told.wait(0.3):
        pass
    code = child.returncode or 0
    child.kill()  # where its descendants cannot be listed
    _end_descendants()
    return code if code >= 0 else 128 - code


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started (Linux; elsewhere none is known)."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *descendants(child)]
    return found


def _end_descendants() -> None:
    deadline = time.monotonic() + END_SECONDS
    while (left := descendants(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.1)


def _end_with_parent() -> None:  # so that the program ends even where its guard is killed
    _control(PR_SET_PDEATHSIG, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
