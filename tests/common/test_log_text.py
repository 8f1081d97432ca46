from __future__ import annotations

import ast
import io
import logging
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from client.node.site import log_lines
from common import progress
from common.escaping import PlainFormatter, one_line
from server.run import run_log

ROOT = Path(__file__).parents[2]
ANY = st.text(st.characters() | st.sampled_from("\x1b\x07\x9b\u202e\u2028\x85\r\n\udcff"), max_size=40)


def shown(text: str, *, lines: bool = False) -> bool:
    """Whether there is nothing in a text that a terminal acts on: control or bidi characters, ends of lines."""
    acting = {"Cc", "Cf", "Zl", "Zp", "Cs"}
    left = text.replace("\u200c", "").replace("\u200d", "").replace("\n" if lines else "", "")
    return not acting.intersection(map(unicodedata.category, left))


@given(ANY)
def test_a_terminal_only_shows_it(text: str) -> None:
    assert shown(one_line(text))
    assert one_line(one_line(text)) == one_line(text)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "M"]), max_size=40))
def test_what_people_write_stays(text: str) -> None:
    assert one_line(text) == text


def test_what_it_would_act_on_is_named() -> None:
    assert one_line("st-mary\x1b[2K\x1b]0;x\x07\nrefused \udcff") == r"st-mary\x1b[2K\x1b]0;x\x07\nrefused \xff"


def of_node(stream: io.StringIO, patch: pytest.MonkeyPatch, _: Path) -> logging.Logger:
    patch.setattr(sys, "stderr", stream)
    log_lines.begin("node st-mary")
    return logging.getLogger("fedser")


def of_run(stream: io.StringIO, patch: pytest.MonkeyPatch, folder: Path) -> logging.Logger:
    log = logging.getLogger("tests.plain")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(run_log._OneLine(run_log.FORMAT))
    log.handlers = [handler]
    return log


def of_terminal(stream: io.StringIO, patch: pytest.MonkeyPatch, _: Path) -> logging.Logger:
    log = logging.getLogger("tests.plain")
    log.handlers = [progress.log_handler(Console(file=stream, force_terminal=True, color_system=None, width=10_000))]
    return log


def of_file(stream: io.StringIO, patch: pytest.MonkeyPatch, _: Path) -> logging.Logger:
    log = logging.getLogger("tests.plain")
    log.handlers = [progress.log_handler(Console(file=stream))]
    return log


@pytest.mark.parametrize("logger", [of_node, of_run, of_terminal, of_file])
def test_no_logger_hands_on_what_a_terminal_acts_on(
    logger: Callable[[io.StringIO, pytest.MonkeyPatch, Path], logging.Logger],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    own, flower = logging.getLogger("fedser"), logging.getLogger("flwr")
    before = own.handlers, own.propagate, own.level, flower.handlers, flower.propagate, flower.filters
    hostile = "x\x1b[2K\x1b]0;owned\x07\x9b31m\r\nfedser: sound\u202e\u2028"
    stream = io.StringIO()
    try:
        log = logger(stream, monkeypatch, tmp_path)
        log.warning("%s: refused", hostile)
        assert stream.getvalue().count("\n") == 1
        assert shown(stream.getvalue(), lines=True)
        try:
            raise ValueError(hostile)
        except ValueError:
            log.exception("it failed")
        assert shown(stream.getvalue(), lines=True)
    finally:
        own.handlers, own.propagate, own.level, flower.handlers, flower.propagate, flower.filters = before


def test_every_formatter_is_this_one() -> None:
    """A logger that comes later formats its lines here, too."""
    assert issubclass(PlainFormatter, logging.Formatter)
    for ring in ("client", "common", "recogniser", "server", "simulations"):
        for path in (ROOT / ring).rglob("*.py"):
            calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
            assert "logging.Formatter" not in {ast.unparse(call.func) for call in calls}, path
