"""What the end-to-end script does where no engine can be had; CI runs the rest of it on a real one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOBODY = 65534


def test_without_an_engine_it_is_skipped_and_says_why() -> None:
    script = str(ROOT / "docker" / "e2e.sh")
    own: dict[str, Any] = {"env": {"PATH": os.environ["PATH"], "DOCKER_HOST": "tcp://127.0.0.1:1"}}
    own |= {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if subprocess.run(["test", "-r", script], **own, check=False).returncode:
        pytest.skip("another user cannot read this folder")
    done = subprocess.run(["bash", script], **own, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    [line] = done.stdout.splitlines()
    assert line.startswith("SKIPPED: no Docker engine: none is running or this user may not reach it")
    assert done.stderr == ""
