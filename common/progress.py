"""What a run shows while it works: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import Self

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from common.escaping import PlainFormatter, one_line

EVERY_SECONDS = 10.0  # off a terminal, the least time between two lines of a step


class Display:
    """Steps of a run, one after the other, on standard error; use it in a ``with`` block.

    Args:
        silent: show nothing at all.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=silent)
        self._bars = Progress(
            TextColumn("{task.description:<24}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            disable=silent or not sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.console.print(one_line(line), markup=False, soft_wrap=True)

    def step(self, name: str, total: int) -> Step:
        """Begin a step of ``total`` parts."""
        return Step(self, self._bars, name, total)


class Step:
    """One bar, or now and then a line."""

    def __init__(self, display: Display, bars: Progress, name: str, total: int) -> None:
        self._display, self._bars, self._name, self._total = display, bars, name, total
        self._task = bars.add_task(one_line(name), total=total, note="")
        self._began = self._said = time.monotonic()

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        """Show how many parts are done, what is at work, and how many there are, where that is known better now."""
        self._total = total or self._total
        self._bars.update(self._task, completed=done, note=one_line(note), total=self._total)
        now = time.monotonic()
        if self._bars.disable and done and (now - self._said > EVERY_SECONDS or done == self._total):
            self._said = now
            left = (now - self._began) / done * (self._total - done)
            self._display.say(f"{self._name}: {done} of {self._total} {note} ({left:.0f} s left)")


def log_handler(console: Console) -> logging.Handler:
    """What shows a log on a console.

    Off a terminal a message is one line, however long: whoever searches a file for a recording's name finds it whole.
    """
    if console.is_terminal:
        handler: logging.Handler = RichHandler(console=console, show_time=False, show_path=False, markup=False)
        handler.setFormatter(PlainFormatter("%(message)s"))
    else:
        handler = logging.StreamHandler(console.file)
        handler.setFormatter(PlainFormatter("%(levelname)-8s %(message)s"))
    return handler


def log_to(console: Console) -> None:
    """Send fedser's log to a console, for the rest of the process, and Flower's nowhere but its errors."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[log_handler(console)], force=True)
    logging.getLogger("fedser").setLevel(logging.INFO)
    flower = logging.getLogger("flwr")
    flower.handlers.clear()
    flower.setLevel(logging.ERROR)
