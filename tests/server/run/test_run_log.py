from __future__ import annotations

import logging
from pathlib import Path

import pytest

from server.run import run_log


def test_the_log_has_a_line_a_message_and_its_warnings_can_be_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = logging.getLogger("fedser.server")
    with run_log.write_log(tmp_path / "run.log"):
        log.info("round %d", 1)
        log.warning("two\nlines")
    log.warning("after the run")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["INFO round 1", "WARNING two lines"]
    told = list(run_log.warnings(iter([*lines, "Traceback", ""])))
    assert [text for _, text in told] == ["two lines"]
    assert told[0][0].endswith("Z")
    assert "two lines" in capsys.readouterr().err  # and on the SuperLink's own output
