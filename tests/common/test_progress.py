from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from common.progress import log_to

PATH = "/a/rather/long/folder/" + "of/folders/" * 12 + "03a02Fa.wav"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_off_a_terminal_a_message_stays_in_its_line() -> None:
    """Who searches a file for a recording's name must find it whole."""
    console = Console(file=io.StringIO(), width=80)
    log_to(console)
    logging.getLogger("fedser.test").warning("%s: not readable as audio; skipped", PATH)
    assert console.file.getvalue() == f"WARNING  {PATH}: not readable as audio; skipped\n"  # type: ignore[attr-defined]
