"""What a site keeps of a run for its strategy, from round to round: a file a round, of two rounds.

In a deployment a message is a process of its own, and a kill may come at any moment: so the state is on the disk before
the reply leaves, and a round that is asked again starts from what it started from the first time. It is kept by run, by
pass (the one that chooses the round, and the refit, which so begins with nothing) and by round.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from common.errors import FedserError
from common.storage import atomic
from common.storage.fingerprint import fingerprint
from common.storage.openable import openable
from common.storage.safe_name import safe_name

Arrays = dict[str, np.ndarray[Any, Any]]
OTHERS = 1  # runs whose end nobody told of, beside this one


class StateStore:
    """What one site keeps of one run.

    Args:
        folder: of all sites and runs; it is made when something is kept.
        site: its name.
        run: the run's.
    """

    def __init__(self, folder: Path, site: str, run: str) -> None:
        self._site, self._run = site, run
        self._runs = folder / f"site-{safe_name(site)}"
        self._folder = self._runs / f"run-{safe_name(run)}"

    def before(self, stage: str, turn: int) -> Arrays:
        """What was kept last before a round; nothing where there is nothing.

        Args:
            stage: the pass.
            turn: the round's number in it.

        Raises:
            FedserError: the file is damaged, or another's.
        """
        found = [number for number in self._turns(stage) if number < turn]
        return self._read(stage, found[-1]) if found else {}

    def keep(self, stage: str, turn: int, arrays: Arrays, start: int | None = None) -> None:
        """Keep what a round ended with, and what it started from: it may be asked again, or its update not be taken.

        Args:
            stage: the pass.
            turn: the round's number in it.
            arrays: what is kept.
            start: the number of the round whose state it started from; by default of the one before.

        Raises:
            FedserError: it cannot be written, or what is old cannot be deleted.
        """
        if not self._folder.exists():
            self._forget_abandoned()
        metadata = self._about(stage, turn) | {"fingerprint": fingerprint(arrays)}
        content = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
        data = safetensors.numpy.save(content, metadata={"state": json.dumps(metadata)})
        atomic.write(self._path(stage, turn), data, durable=True, private=True)
        last = turn - 1 if start is None else start
        started_from = [number for number in self._turns(stage) if number <= last][-1:]
        for number in set(self._turns(stage)) - {turn, *started_from}:
            self._path(stage, number).unlink(missing_ok=True)

    def fingerprint(self, stage: str, turn: int) -> str:
        """Of what was kept last until a round, and that included; empty where there is nothing.

        Raises:
            FedserError: the file is damaged, or another's.
        """
        found = self.before(stage, turn + 1)
        return fingerprint(found) if found else ""

    def forget(self) -> None:
        """Delete all that is kept of the run.

        Raises:
            FedserError: it cannot be deleted.
        """
        _delete(self._folder)
        for folder in (self._runs, self._runs.parent):
            with contextlib.suppress(OSError):  # of another run, or another site, something is in it
                folder.rmdir()

    def _forget_abandoned(self) -> None:
        """Delete what is left of runs that never ended, but for the last: it may be gone on with."""
        try:
            others = sorted(self._runs.glob("run-*"), key=lambda path: path.stat().st_mtime)
        except FileNotFoundError:  # another run of this site does the same
            return
        for folder in others[: len(others) - OTHERS]:
            _delete(folder)

    def _turns(self, stage: str) -> list[int]:
        numbers = (path.stem.rpartition("-")[2] for path in self._folder.glob(f"{stage}-*.safetensors"))
        return sorted(int(number) for number in numbers if number.isdecimal())

    def _path(self, stage: str, turn: int) -> Path:
        return self._folder / f"{stage}-{turn:06}.safetensors"

    def _about(self, stage: str, turn: int) -> dict[str, Any]:
        return {"site": self._site, "run": self._run, "pass": stage, "round": turn}

    def _read(self, stage: str, turn: int) -> Arrays:
        path = self._path(stage, turn)
        try:
            with openable(path) as plain, safetensors.safe_open(plain, framework="np") as file:
                about = json.loads(file.metadata()["state"])
                arrays = {name: file.get_tensor(name) for name in file.offset_keys()}
            if {**about, **self._about(stage, turn)} != about:
                raise FedserError(f"{path} is of another site, run or round; delete it, and the site starts without")
            sound = about["fingerprint"] == fingerprint(arrays)
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
            sound = False
        if not sound:
            raise FedserError(f"{path} is damaged; put a copy back, or delete it, and the site starts without")
        return arrays


def _delete(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FedserError(f"{folder} cannot be deleted: {error.strerror}; delete it by hand") from None
