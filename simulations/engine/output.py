"""A run's folder: refused where it exists, unless the run is to be resumed or overwritten."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common.data.extraction import Recording
from common.errors import FedserError, UsageError
from common.splits import plan as plans
from common.storage import atomic
from common.storage.safe_name import safe_name

LOCK = "run.lock"
RECORDINGS = "recordings.json"
RUN_SETTINGS = ("engine", "baselines", "command", "ledger")
PERSONAL = "personal"  # likewise, where each site's own model is made


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it is a run that may be overwritten.

    Raises:
        UsageError: it does.
    """
    if not path.exists() or (path.is_dir() and all(inside.name == LOCK for inside in path.iterdir())):
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


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Keep every other program from a run's folder; the lock ends with this process, however it ends.

    It is a record lock, which no worker process inherits: where this process is killed, the run can be resumed at once.

    Raises:
        UsageError: another program is at work there.
        FedserError: the folder cannot be written.
    """
    place = path / LOCK
    try:
        descriptor = _lock(place)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN) or not place.exists():
            raise FedserError(f"{place} cannot be written: {error.strerror}") from None
        raise UsageError(f"{path} is in use by another fedser simulate; let it end, or end it, and try again") from None
    try:
        yield
    finally:
        if _is_at(descriptor, place):
            place.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(place: Path) -> int:
    """The descriptor of the locked file, which is the one at that place."""
    while True:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        if _is_at(descriptor, place):
            return descriptor
        os.close(descriptor)  # whoever held it before has just ended, and taken it away


def _is_at(descriptor: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except OSError:
        return False


def relocate(path: Path, old: Path, new: Path) -> None:
    """Name the recordings that a run's plans skip by the folder where they are now.

    Args:
        path: the run's folder.
        old: where the recordings were when it was started.
        new: where they are.
    """
    for place in sorted(path.rglob("plan.json")):  # of folds, of their baselines, of audits
        plan = plans.read(place)
        skipped, aside = (tuple(_moved(n, str(old), str(new)) for n in own) for own in (plan.skipped, plan.kept_out))
        dataclasses.replace(plan, skipped=skipped, kept_out=aside).write(place)


def _moved(name: str, old: str, new: str) -> str:
    """A recording's name where it is now; one that was moved before stays, for this may have been cut short."""
    return new + name[len(old) :] if name.startswith(f"{old}/") and not name.startswith(f"{new}/") else name


def settle_recordings(path: Path, recordings: Sequence[Recording]) -> None:
    """Write down what a run is trained and scored on, or find the same on resuming.

    Args:
        path: the run's folder.
        recordings: all that can be used, in the corpus's order.

    Raises:
        UsageError: they are not those that the run was started with.
    """
    own = [(item.digest, item.utterance.emotion, item.utterance.speaker) for item in recordings]
    found = hashlib.sha256(json.dumps(own).encode()).hexdigest()
    try:
        before = json.loads((path / RECORDINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        atomic.write(path / RECORDINGS, json.dumps({"count": len(own), "sha256": found}))
        return
    if before.get("sha256") != found:
        raise UsageError(
            f"--resume {path}: the recordings are not those that the run was started with ({len(own)} can be used, "
            f"then {before.get('count')}); give --root the folder that holds them, or start the run anew, --overwrite"
        )


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
