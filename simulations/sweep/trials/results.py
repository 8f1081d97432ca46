"""``results.jsonl``: a line a trial, on the disk before the next is begun, whatever happens to the program."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.config.settings import PATHS
from common.errors import FedserError, UsageError
from common.storage import atomic

Row = dict[str, Any]
FILE, ABOUT, LOCK = "results.jsonl", "benchmark.json", ".lock"
PATIENCE = 15.0  # seconds in which the workers of a killed program end, and let go of the lock


def published(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for a file that is passed on: of a place its last name alone, which doesn't tell of the machine."""
    return {name: Path(value).name if name in PATHS and value else value for name, value in settings.items()}


def read(out: Path) -> list[Row]:
    """The trials that are finished; a last line that was cut short counts for nothing.

    Raises:
        FedserError: another line is no JSON: somebody has edited the file.
    """
    try:
        text = (out / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise FedserError(f"{out / FILE} cannot be read: {error.strerror}") from None
    rows = []
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            raise FedserError(
                f"{out / FILE}, line {number} is no JSON; delete that line, and its trial runs again"
            ) from None
    return rows


def append(out: Path, row: Row) -> None:
    """Add a trial's line, and wait until the disk has it.

    Raises:
        FedserError: for want of space or rights.
    """
    line = json.dumps(row, allow_nan=False) + "\n"
    try:
        with (out / FILE).open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FedserError(f"{out / FILE} cannot be written: {error.strerror}; the same command goes on later") from None


def mend(out: Path) -> None:
    """Cut off a last line that a kill left unfinished, so that the next one doesn't join it."""
    path = out / FILE
    if not path.exists():
        return
    with path.open("rb+") as file:
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)
        os.fsync(file.fileno())


def ours(out: Path) -> bool:
    """Whether a benchmark was begun there; nothing is written.

    Raises:
        UsageError: the folder holds something else.
        FedserError: it cannot be read.
    """
    try:
        begun = (out / ABOUT).exists()
        free = not out.exists() or (out.is_dir() and all(_may_be_left(path.name) for path in out.iterdir()))
    except OSError as error:
        raise FedserError(f"--out {out} cannot be read: {error.strerror}; name another folder") from None
    if begun:
        read_about(out)
    elif not free:
        raise UsageError(f"--out {out} exists and holds no benchmark; name a new folder")
    return begun


def _may_be_left(name: str) -> bool:
    """By a kill before the benchmark was begun."""
    return name == LOCK or name.startswith(".partial-")


def agree(out: Path, settings: dict[str, Any], about: dict[str, Any]) -> None:
    """Begin a benchmark's folder, or find that it was begun with the same settings.

    Args:
        out: the folder.
        settings: all that decides which trials there are, and their numbers.
        about: what else the page says, kept from the first run.

    Raises:
        UsageError: the folder holds something else, or a benchmark with other settings.
        FedserError: it cannot be written.
    """
    if not ours(out):
        atomic.write(out / ABOUT, json.dumps({"settings": settings, **about}, indent=1), durable=True)
        return
    refuse_others(out, dict.fromkeys(read_about(out)["settings"]) | settings)


def refuse_others(out: Path, settings: Mapping[str, Any]) -> None:
    """Compare these settings, perhaps not all, with those that a folder was begun with; a new folder has none.

    Raises:
        UsageError: they are others.
    """
    old = read_about(out)["settings"] if ours(out) else settings
    other = [name for name in settings if old.get(name) != settings[name]]
    if other:
        first = other[0]
        raise UsageError(
            f"--out {out} was begun with other settings ({', '.join(other[:4])}: {first} was {old.get(first)!r}, is "
            f"now {settings.get(first)!r}); give the same command to go on, or name a new folder"
        )


def read_about(out: Path) -> dict[str, Any]:
    """What ``benchmark.json`` says.

    Raises:
        UsageError: there is no benchmark.
    """
    try:
        about: dict[str, Any] = json.loads((out / ABOUT).read_text(encoding="utf-8"))
        about["settings"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{out} holds no benchmark; give the folder that --out of fedser benchmark named") from None
    return about


@contextlib.contextmanager
def lock(out: Path) -> Iterator[None]:
    """Lock a benchmark's folder against every other program; the workers, forked later, hold the lock too.

    Raises:
        FedserError: another program is at work there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise FedserError(f"--out {out} cannot be made: {error.strerror}") from None
    try:
        _wait_for(descriptor, out)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, out: Path) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise FedserError(
                    f"another fedser benchmark is at work in {out}; let it end, or name another folder"
                ) from None
            time.sleep(0.2)
        else:
            return
