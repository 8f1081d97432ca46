"""A deployed run's folder, ``DIR/runs/NAME``: what the command that started it keeps there, beside what the run leaves.

``run.json`` has what the run was started with, ``state.json`` how it stands; the ServerApp writes the checkpoint,
``events.jsonl``, ``audit.jsonl``, ``run.log`` and, at the end, the model and ``fold.json``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.settings import Scalar
from common.errors import UsageError
from common.storage import atomic
from server.federation.folder.coordinator_folder import Folder
from server.records.fold_record import FoldRecord, read_fold
from server.records.starting_model import FILE, ORIGIN
from server.run import events

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
STARTED_WITH = ("run.json", "plan.json", "label-map.toml", "public.safetensors", FILE, ORIGIN)
RUNNING, FINISHED, FAILED, STOPPED, LOST = "running", "finished", "failed", "stopped", "lost"


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """What a run was started with: ``run.json``.

    Attributes:
        settings: of ``common.config.settings`` by flat name; paths inside the coordinator's folder are relative to it.
        command: that asked for it, for the report.
        quorum: how many sites had to be there.
        tested: recordings of the coordinator's own that are held out.
        problems: those of them that cannot be used: ``path``, ``kind`` and ``detail``.
        features_s: seconds that their features took.
    """

    settings: dict[str, Scalar]
    command: str
    quorum: int
    tested: int
    problems: list[dict[str, str]]
    features_s: float


@dataclass(frozen=True, kw_only=True)
class RunState:
    """The state of a run: ``state.json``.

    Attributes:
        state: running, finished, failed, stopped, or lost: the SuperLink is gone, and the ServerApp with it.
        flower: Flower's number of the run; 0 before there is one.
        why: what went wrong.
        seconds: that it was followed for, over all times it was gone on with.
    """

    state: str
    flower: int = 0
    why: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The folder of one run.

    Attributes:
        folder: the coordinator's.
        name: the run's.
    """

    folder: Folder
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(
                f"a run is called {self.name!r}, expected up to 64 letters, digits, '.', '_' and '-', the first a "
                "letter or digit"
            )

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder.runs / self.name

    def file(self, name: str) -> Path:
        """One of its files."""
        return self.path / name

    @property
    def finished(self) -> bool:
        """Whether the ServerApp has ended as it should: it writes ``fold.json`` last."""
        return self.file("fold.json").exists()

    @property
    def resume_hint(self) -> str:
        """How to go on with it."""
        return f"go on with fedser federation run --resume {self.name}"

    def events(self) -> list[dict[str, Any]]:
        """The rounds so far."""
        return events.read(self.file("events.jsonl"))

    def write_start(self, kept: RunStart) -> None:
        """Write ``run.json``."""
        atomic.write(self.file("run.json"), json.dumps(dataclasses.asdict(kept), indent=1))

    def read_start(self) -> RunStart:
        """Read ``run.json``.

        Raises:
            UsageError: there is no such run.
        """
        try:
            return RunStart(**json.loads(self.file("run.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            known = ", ".join(names(self.folder)) or "none yet"
            raise UsageError(f"there is no run {self.name!r} in {self.folder.runs}; there are {known}") from None

    def note(self, state: RunState) -> None:
        """Write ``state.json``."""
        atomic.write(self.file("state.json"), json.dumps(dataclasses.asdict(state), indent=1))

    def state(self) -> RunState | None:
        """How it stands, as the command that follows it last knew; None where that is not known."""
        try:
            return RunState(**json.loads(self.file("state.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def discard(self) -> bool:
        """Take the folder away where nothing of the run itself is in it: only what it was to be started with.

        Returns:
            Whether it is gone.
        """
        if not self.path.is_dir() or any(path.name not in STARTED_WITH for path in self.path.iterdir()):
            return False
        with contextlib.suppress(OSError):  # where it cannot be, it stays, and is in nobody's way
            shutil.rmtree(self.path)
        return not self.path.exists()

    def result(self) -> FoldRecord:
        """Read ``fold.json``.

        Raises:
            FedserError: it is not there, or broken.
        """
        return read_fold(self.file("fold.json"))


def names(folder: Folder) -> list[str]:
    """The runs that there are, the oldest first."""
    found = [path.parent for path in folder.runs.glob("*/run.json") if _NAME.fullmatch(path.parent.name)]
    return [path.name for path in sorted(found, key=lambda path: ((path / "run.json").stat().st_mtime, path.name))]


def next_name(folder: Folder) -> str:
    """``run-1``, or the next that is free."""
    number = 1
    while (folder.runs / f"run-{number}").exists():
        number += 1
    return f"run-{number}"
