"""A site's key of each run, on its disk while the run is on, and what it said of itself with it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from client.node.gate.answers import Refused
from common.errors import FedserError
from common.secure.pair_masks import RunKey, Source, new_key
from common.storage import atomic
from common.storage.safe_name import safe_name


class RunKeys:
    """The folder of a site's run keys.

    Args:
        folder: made with the first key.
        source: of randomness; the operating system's anywhere but in tests.
    """

    def __init__(self, folder: Path, source: Source = os.urandom) -> None:
        self._folder, self._source = folder, source

    def make(self, run: str, examples: int, validation: int) -> RunKey:
        """The run's key; made, and on the disk, before it is told of, and the same whenever it is asked for.

        Args:
            run: its name.
            examples: that the site says it trains on.
            validation: that it says the second pass adds.

        Raises:
            Refused: it said otherwise before: within a run the counts stay.
            FedserError: the key cannot be written or read.
        """
        if not self._path(run).exists():
            key = new_key(self._source)
            told = {"key": key.private.hex(), "examples": examples, "validation": validation}
            atomic.write(self._path(run), json.dumps(told), durable=True, private=True)
        key, said = self.read(run)
        if said != (examples, validation):
            raise Refused(
                f"this site said {said[0]} and {said[1]} recordings in run {run}, now it has {examples} and "
                f"{validation}; begin a new run"
            )
        return key

    def read(self, run: str) -> tuple[RunKey, tuple[int, int]]:
        """The run's key, and the two counts that the site said.

        Raises:
            Refused: the site has none of the run.
            FedserError: the file cannot be read.
        """
        path = self._path(run)
        try:
            told: Any = json.loads(path.read_bytes())
            return RunKey(bytes.fromhex(told["key"])), (int(told["examples"]), int(told["validation"]))
        except FileNotFoundError:
            raise Refused(f"this site has no key of run {run}: it told none, or the run is over") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FedserError(
                f"{path} cannot be read ({type(error).__name__}); put it back, or begin a new run"
            ) from None

    def forget(self, run: str) -> None:
        """Delete the run's key; from then on nothing of its rounds can be opened with this site's help."""
        with contextlib.suppress(FileNotFoundError):
            self._path(run).unlink()
            atomic.sync_folder(self._folder)

    def _path(self, run: str) -> Path:
        return self._folder / f"{safe_name(run)}.json"
