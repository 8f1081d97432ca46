"""The scores of segments, a line each: a random id, the day, each class's probability. No sound, no path, no time.

A folder holds the scores of one model: ``monitor.json`` says which, and each day has a file of JSON lines.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from common.errors import FedserError, UsageError
from common.storage import atomic

ABOUT, ENDING = "monitor.json", ".jsonl"
FORMAT = 1
_DECIMALS = 4


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A segment.

    Attributes:
        id: random; the client is told it, so that it can send the label later.
        day: in UTC.
        scores: each class's probability.
        drift: how far its speech rows lie from the training scaling, the mean of |z|; None where that isn't known.
    """

    id: str
    day: date
    scores: dict[str, float]
    drift: float | None = None

    @property
    def said(self) -> str:
        """The likeliest class."""
        return max(self.scores, key=lambda name: self.scores[name])


@dataclass(frozen=True, kw_only=True)
class Logs:
    """All that a folder holds.

    Attributes:
        classes: of the model.
        held_out: of each class how many test recordings there were and how many were right; empty where nobody said.
        segments: in the order of their days.
        broken: lines that can't be read, as a power cut leaves one.
    """

    classes: list[str]
    held_out: dict[str, tuple[int, int]]
    segments: list[Logged]
    broken: int = 0


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, kw_only=True)
class SegmentLog:
    """The log that a service writes.

    Args:
        folder: made where there is none.
        model: its digest.
        classes: in the order of its outputs.
        held_out: hits and recordings of each class on its test speakers, where they are known.
        today: what day it is.

    Raises:
        UsageError: the folder holds another model's scores.
        FedserError: for want of space or rights.
    """

    folder: Path
    model: str
    classes: Sequence[str]
    held_out: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    today: Callable[[], date] = _today

    def __post_init__(self) -> None:
        about = {"format": FORMAT, "model_sha256": self.model, "classes": list(self.classes)}
        place = self.folder / ABOUT
        if place.exists():
            found = _about(place)
            if {name: found.get(name) for name in about} != about:
                raise UsageError(f"{self.folder} holds the scores of another model; give each a folder of its own")
            return
        held_out = {name: list(counts) for name, counts in self.held_out.items()}
        atomic.write(place, json.dumps({**about, "held_out": held_out}), private=True)

    def add(self, scores: Mapping[str, float], drift: float | None = None) -> str:
        """Write a segment's line; returns its id.

        Raises:
            FedserError: for want of space or rights.
        """
        own = Logged(id=secrets.token_hex(8), day=self.today(), scores=dict(scores), drift=drift)
        path = self.folder / f"{own.day}{ENDING}"
        try:
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(opened, "ab") as file:
                file.write(_line(own))
        except OSError as error:
            raise FedserError(f"{path} cannot be written: {error.strerror}; free space there") from None
        return own.id


def _line(own: Logged) -> bytes:
    """With a line's end before it too, so that what was cut short before spoils no other."""
    scores = {name: round(float(value), _DECIMALS) for name, value in own.scores.items()}
    drift = None if own.drift is None else round(own.drift, _DECIMALS)
    return f"\n{json.dumps({'id': own.id, 'day': str(own.day), 'scores': scores, 'drift': drift})}\n".encode()


def read_logs(folder: Path, since: date | None = None) -> Logs:
    """Read a folder's days, from one on.

    Raises:
        UsageError: it holds no log.
    """
    about = _about(folder / ABOUT)
    classes = [str(name) for name in about["classes"]]
    segments: list[Logged] = []
    broken = 0
    for path in sorted(folder.glob(f"*{ENDING}")):
        for line in filter(None, _bytes(path).splitlines()):
            own = _read(line, classes)
            broken += own is None
            if own and (since is None or own.day >= since):
                segments.append(own)
    try:
        held_out = {str(name): (int(hits), int(of)) for name, (hits, of) in about.get("held_out", {}).items()}
    except (AttributeError, TypeError, ValueError):
        raise UsageError(f"{folder / ABOUT}: held_out is {about['held_out']!r}, expected [hits, of] by class") from None
    return Logs(classes=classes, held_out=held_out, segments=sorted(segments, key=lambda own: own.day), broken=broken)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; expected a day's scores") from None


def _read(line: bytes, classes: Sequence[str]) -> Logged | None:
    try:
        found = json.loads(line)
        scores = {name: float(found["scores"][name]) for name in classes}
        drift = None if found.get("drift") is None else float(found["drift"])
        return Logged(id=str(found["id"]), day=date.fromisoformat(found["day"]), scores=scores, drift=drift)
    except (KeyError, TypeError, ValueError):
        return None


def _about(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT or not isinstance(found["classes"], list):
            raise ValueError
    except (OSError, KeyError, TypeError, ValueError):
        raise UsageError(
            f"{path.parent} holds no scores of a service (no {ABOUT} that can be read); expected what "
            "fedser serve --monitor DIR writes"
        ) from None
    return dict(found)
