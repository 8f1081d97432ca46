"""What the coordinator remembers of a run's sums, on its disk before it asks a site to open one.

Sites open a sum for one list of sites, and train with one roster, over restarts too: so a coordinator that was killed
goes on with the same, or with nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from common.errors import FederationError
from common.storage import atomic


class SumNotes:
    """The notes of one run.

    Args:
        path: of the file; that of another run is written over.
        run: its name.

    Raises:
        FederationError: the file cannot be read.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._path, self._run = path, run
        kept = self._read()
        self._kept = kept if kept.get("run") == run else {"run": run, "roster": None, "chosen": {}}

    @property
    def roster(self) -> str | None:
        """The run's roster, as messages have it; None where none was made yet."""
        found: str | None = self._kept["roster"]
        return found

    def keep_roster(self, text: str) -> None:
        """Note the run's roster."""
        self._write({**self._kept, "roster": text})

    def chosen(self, number: int) -> tuple[str, ...] | None:
        """Whose words a sum is of, if sites may have been asked to open it."""
        found = self._kept["chosen"].get(str(number))
        return None if found is None else tuple(found)

    def choose(self, number: int, sites: tuple[str, ...]) -> None:
        """Note whose words a sum is of."""
        if self.chosen(number) is None:
            self._write({**self._kept, "chosen": {**self._kept["chosen"], str(number): list(sites)}})

    def _write(self, kept: dict[str, Any]) -> None:
        atomic.make_folder(self._path.parent)
        atomic.write(self._path, json.dumps(kept), durable=True)
        self._kept = kept

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise FederationError(
                f"{self._path} cannot be read ({type(error).__name__}), which says what sums the sites have opened; "
                "put it back, or start anew with --overwrite"
            ) from None
        return found if isinstance(found, dict) else {}
