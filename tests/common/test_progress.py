from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from common.progress import Display, log_to

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


def test_a_bar_shows_any_name_as_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Brackets are no markup there, and no name breaks a line or colours it."""
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with Display() as display:
        display.step("speaker:[/b]\n", 2).update(1, "Ward [/b] 3\x1b[31m")
        display.say("a\nb \udcb3 [red]")
    shown = capsys.readouterr().err
    assert r"a\nb \xb3 [red]" in shown
    assert r"Ward [/b] 3\x1b" in shown.replace("\n", "")
