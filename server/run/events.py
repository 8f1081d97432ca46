"""``events.jsonl``: one line a round, appended as it happens."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.config.settings import Config
from common.errors import FedserError


class Events:
    """A fold's lines in a run's file.

    Args:
        path: of the file, which the folds of a run share.
        fold: whose rounds these are.
    """

    def __init__(self, path: Path, fold: str) -> None:
        self.path, self.fold = path, fold

    def add(self, entry: dict[str, Any]) -> None:
        """Append a round, as ``result.json`` lists it."""
        line = json.dumps({"fold": self.fold, "time": time.time(), **entry})
        try:
            with self.path.open("ab+") as file:
                whole = file.tell() == 0 or (file.seek(-1, 2) >= 0 and file.read(1) == b"\n")
                file.write(f"{'' if whole else chr(10)}{line}\n".encode())
        except OSError as error:
            raise FedserError(f"{self.path} cannot be written: {error.strerror}; go on with --resume") from None

    def catch_up(self, history: Sequence[dict[str, Any]]) -> None:
        """Append the rounds of a checkpoint that a kill kept from the file."""
        there = {event["round"] for event in read(self.path) if event["fold"] == self.fold}
        for entry in history:
            if entry["round"] not in there:
                self.add(entry)


def rounds_in_all(events: Sequence[Mapping[str, Any]], config: Config) -> int:
    """How many rounds a run will have, as far as its events tell: at most twice as many where it trains again."""
    rounds = config.federation.rounds
    if events and "refit" in events[-1]:
        return rounds + int(events[-1]["refit"])
    again = config.refits and bool(events and events[-1]["validation"])
    return config.most_rounds if again else rounds


def read(path: Path) -> list[dict[str, Any]]:
    """The events so far; a line that a kill cut short is passed over."""
    events = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events
