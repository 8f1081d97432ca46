"""A program that is kept running: started again when it ends, after pauses that grow while it does not hold."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from common.escaping import one_line

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """When a program that ended is started again; all in seconds.

    Attributes:
        first: the first pause; the next is one second or twice as long, whichever is more.
        longest: no pause is longer.
        steady: one that was up for longer begins with the first pause again: its end is a new trouble.
    """

    first: float
    longest: float
    steady: float


class Output:
    """Passes a program's lines on to this process's output, and remembers the last.

    Args:
        hidden: lines that contain one of these are not passed on.
    """

    def __init__(self, hidden: Sequence[str] = ()) -> None:
        self.last = "it said nothing"
        self._hidden = tuple(hidden)
        self._reader: threading.Thread | None = None

    def follow(self, name: str, process: subprocess.Popen[str]) -> None:
        """Pass on what a process puts out, from a thread, until it ends."""
        self._reader = threading.Thread(target=self._pass_on, args=(name, process), daemon=True)
        self._reader.start()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until all is passed on, for so many seconds at most; None for as long as it takes."""
        if self._reader is not None:
            self._reader.join(seconds)

    def _pass_on(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None  # noqa: S101 - for the types
        with process.stdout:
            for line in process.stdout:
                text = one_line(_COLOUR.sub("", line).strip())
                if text and not any(part in text for part in self._hidden):
                    self.last = text
                    sys.stdout.write(f"{name}: {text}\n")
                    sys.stdout.flush()


class Child:
    """A program; ``tend`` it again and again, from its start to its ``end``.

    Args:
        name: as people know it, e.g. SuperLink.
        command: the program and its arguments.
        environment: the program's.
        say: is told in a line what happens to it.
        pauses: before it is started again.
        output: gets its lines; None where it shares this process's output.
        final: an exit code that would be the same the next time too: it is not started again.
        clock: in seconds.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        say: Say,
        *,
        pauses: Pauses,
        output: Output | None = None,
        final: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._command, self._environment = list(command), dict(environment)
        self._say, self._pauses, self._output, self._final, self._clock = say, pauses, output, final, clock
        self._process: subprocess.Popen[str] | None = None
        self._pause = pauses.first
        self._started = 0.0
        self._due: float | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def last_line(self) -> str:
        """The last line that it put out, where its output is followed."""
        if self._output is None:
            return ""
        self._output.wait(0 if self.running else 1)
        return self._output.last

    def tend(self) -> None:
        """Start it, or start it again if it has ended and is due.

        Raises:
            SystemExit: it ended with the code after which it is not started again; this is that code.
        """
        if self.running:
            return
        now = self._clock()
        if self._process is not None and self._due is None:
            self._due = self._next(self._process.returncode, now)
        if self._due is None or now >= self._due:
            self._start()

    def _next(self, code: int, now: float) -> float:
        """When it is started again, told to whom it concerns."""
        if code == self._final:
            raise SystemExit(code)
        pause = self._pauses.first if now - self._started > self._pauses.steady else self._pause
        when = f"in {pause:.0f} s" if pause else "now"
        self._say(f"the {self.name} ended ({_reason(code)}); starting it again {when}")
        self._pause = min(self._pauses.longest, max(1.0, 2 * pause))
        return now + pause

    def _start(self) -> None:
        self._due, self._started = None, self._clock()
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._output else None,
            stderr=subprocess.STDOUT if self._output else None,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        if self._output:
            self._output.follow(self.name, self._process)

    def ask_to_end(self) -> None:
        """Let it end by itself."""
        if self._process is not None:
            self._process.terminate()

    def end(self, patience: float | None = None) -> None:
        """Wait for its end, and kill it where that takes longer than so many seconds; None for as long as it takes."""
        if self._process is None:
            return
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._output:
            self._output.wait()


def end(children: Sequence[Child], patience: float | None = None) -> None:
    """End programs together: all are asked to, and after so many seconds those that are left are killed."""
    for child in children:
        child.ask_to_end()
    deadline = None if patience is None else time.monotonic() + patience
    for child in children:
        child.end(None if deadline is None else max(0.0, deadline - time.monotonic()))


def _reason(code: int) -> str:
    number = -code if code < 0 else code - 128  # a guard says so that a signal ended its program
    return f"signal {number}" if number > 0 else f"exit code {code}"
