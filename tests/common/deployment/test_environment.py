from __future__ import annotations

import os
from pathlib import Path

import pytest

from common.deployment.environment import PROGRAMS, for_programs


def test_nothing_is_sent_home_whatever_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setenv("OWN", "kept")
    found = for_programs(Path("/home"))
    assert (found["FLWR_TELEMETRY_ENABLED"], found["FLWR_HOME"], found["OWN"]) == ("0", "/home", "kept")
    assert found["PATH"].split(os.pathsep) == [str(PROGRAMS), "/bin"]
