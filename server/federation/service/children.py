"""A program that the server keeps running: started again when it ends, ended with the server, its output passed on."""

from __future__ import annotations

import collections
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from common.processes import subreaper

LONGEST_PAUSE = 30.0
SETTLED = 60.0  # seconds up, after which an end is a new one and no longer the same trouble

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

Say = Callable[[str], None]


class Child:
    """A program under a guard.

    Args:
        name: as people know it, e.g. SuperLink.
        command: the program and its arguments.
        environment: the program's.
        say: is told in a line what happens to it.
        hidden: lines of its output that contain one of these are not passed on.
        clock: in seconds.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        say: Say,
        *,
        hidden: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._command = subreaper.command(*command)
        self._environment = dict(environment)
        self._say = say
        self._hidden = tuple(hidden)
        self._clock = clock
        self._tail: collections.deque[str] = collections.deque(maxlen=1)
        self._pause = 0.0
        self._due: float | None = None
        self._start()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def last_line(self) -> str:
        """The last line that it put out."""
        self._reader.join(timeout=1 if not self.running else 0)
        return self._tail[0] if self._tail else "it said nothing"

    def tend(self) -> None:
        """Start it again if it has ended, at once the first time and then after 1, 2, 4 … 30 seconds."""
        now = self._clock()
        if self.running:
            return
        if self._due is None:
            self._pause = 0.0 if now - self._started > SETTLED else self._pause
            self._due = now + self._pause
            when = f"in {self._pause:.0f} s" if self._pause else "now"
            self._say(f"the {self.name} ended ({_reason(self._process.returncode)}); starting it again {when}")
            self._pause = min(LONGEST_PAUSE, max(1.0, 2 * self._pause))
        if now >= self._due:
            self._start()

    def end(self) -> None:
        """End it, and all that it started."""
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def _start(self) -> None:
        self._due, self._started = None, self._clock()
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._pass_on, args=(self._process,), daemon=True)
        self._reader.start()

    def _pass_on(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 - for the types
        with process.stdout:
            for line in process.stdout:
                text = _COLOUR.sub("", line).strip()
                if text and not any(part in text for part in self._hidden):
                    self._tail.append(text)
                    sys.stdout.write(f"{self.name}: {text}\n")
                    sys.stdout.flush()


def _reason(code: int) -> str:
    number = -code if code < 0 else code - 128
    return f"signal {number}" if number > 0 else f"exit code {code}"
