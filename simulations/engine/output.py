"""A run's folder: refused where it exists, unless the run is to be resumed or overwritten."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from common.errors import FedserError, UsageError
from common.storage import atomic
from common.storage.safe_name import safe_name

RUN_SETTINGS = ("engine", "baselines", "command", "ledger")


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it is a run that may be overwritten.

    Raises:
        UsageError: it does.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise UsageError(f"--out {path} exists; go on with it by --resume {path}, or replace it by --overwrite")
    if not (path / "run.json").is_file():
        raise UsageError(f"--out {path} was not made by fedser simulate; delete it yourself or choose another")


def open_folder(path: Path, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
    """Make a run's folder, or find it as it was left.

    Args:
        path: ``--out``.
        settings: what decides the run's numbers, and the command; kept in ``run.json`` for resuming.
        resume: go on with the run that is there.
        overwrite: delete what is there.

    Raises:
        UsageError: the folder holds something that is in the way.
        FedserError: it cannot be written.
    """
    if resume:
        atomic.write(path / "run.json", json.dumps(settings, indent=1))
        return
    refuse_existing(path, overwrite=overwrite)
    try:
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
    except OSError as error:
        raise FedserError(f"--out {path} cannot be made: {error.strerror}") from None
    atomic.write(path / "run.json", json.dumps(settings, indent=1))


def read_run_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a run that is to be resumed.

    Raises:
        UsageError: there is no run.
    """
    try:
        settings: dict[str, Any] = json.loads((path / "run.json").read_text(encoding="utf-8"))
        return {**settings, **{name: settings[name] for name in RUN_SETTINGS}}
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"--resume {path}: there is no run of fedser simulate") from None


def slug(name: str) -> str:
    """A fold's or a site's name as a folder's; two names never share one."""
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:]{,149}", name):
        return name.replace(":", "-")
    return "=" + safe_name(name)
