"""``run.log``: what a deployed run's server says, for those who start and watch the run from other processes."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

from common.escaping import ESCAPED, PlainFormatter

LINE = re.compile(r"(?P<time>\S+) (?P<level>[A-Z]+) (?P<text>.*)")
FORMAT = "%(asctime)s %(levelname)s %(message)s"


@contextlib.contextmanager
def write_log(path: Path) -> Iterator[None]:
    """Within the block, append fedser's log to a file, a line a message, and print it as well."""
    log = logging.getLogger("fedser")
    file = logging.FileHandler(path, encoding="utf-8", errors=ESCAPED)
    handlers: list[logging.Handler] = [file, logging.StreamHandler()]
    level = log.level
    for handler in handlers:
        handler.setFormatter(_OneLine(FORMAT, datefmt="%Y-%m-%dT%H:%M:%SZ"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()


class _OneLine(PlainFormatter):
    """A line a message, in UTC."""

    @staticmethod
    def converter(seconds: float | None = None) -> time.struct_time:
        return time.gmtime(seconds)

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(super().format(record).split())


def warnings(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Of a log's lines those that warn: the time and the text of each."""
    for line in lines:
        found = LINE.fullmatch(line)
        if found and found["level"] in ("WARNING", "ERROR", "CRITICAL"):
            yield found["time"], found["text"]
