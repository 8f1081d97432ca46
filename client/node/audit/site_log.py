"""A site's audit log: what came in, what left and what was refused, in a hash chain on the site's own disk.

A line is on the disk before what it tells of leaves; where it cannot be written, nothing leaves. The head goes to the
server with every reply and comes back with the next message, so a log that was cut, or put back from an older copy,
shows. The log names no speaker and no recording.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from client.node.audit import witness
from common.errors import ChainError, FedserError
from common.storage.chained_file import Chain
from common.storage.hash_chain import Entry, Head, head_of
from common.validate import one_of

START, STOP, RUN, IN, OUT, REFUSED, FORGET = "start", "stop", "run", "in", "out", "refused", "forget"
ALLOWED = "allowed"  # the verdict on a run that the site takes part in
KINDS = (START, STOP, RUN, IN, OUT, REFUSED, FORGET)

_OF_THE_LINE = ("n", "prev", "hash", "records", "model", "settings", "bundle", "epsilon_before", "epsilon_after")


class AuditLog:
    """The log of one site; any thread may use it.

    Args:
        path: of the file; it and its folder are made with the first line.
        timeout: how long to wait for another process that writes, in seconds.
    """

    def __init__(self, path: Path, *, timeout: float = 60.0) -> None:
        self.path = path
        self._chain = Chain(path, timeout=timeout, keep=_remembered)
        self._lock = threading.Lock()

    def add(self, kind: str, **payload: Any) -> Head:
        """Append a line and wait until the disk has it.

        Args:
            kind: one of ``KINDS``.
            payload: JSON-ready; see ``common.storage.hash_chain.text_after``.

        Returns:
            The head with this line.

        Raises:
            UsageError: there is no such kind, or the payload cannot be recorded.
            ChainError: a line was edited, dropped or moved.
            FedserError: it cannot be written, e.g. on a full disk; the log is as it was, and nothing may leave.
        """
        one_of("the kind of line", kind, KINDS)
        with self._lock, self._chain.lock() as writer:
            writer.append(kind, **payload)
            return writer.head

    def entries(self) -> list[Entry]:
        """All lines, verified anew from the disk, for who looks at them; none where there is no file.

        Raises:
            ChainError: a line was edited, dropped or moved.
            FedserError: the file cannot be read.
        """
        return Chain(self.path).read()

    def settled(self) -> list[Entry]:
        """What later messages are held against: of each line but the refusals what is not about that line alone.

        Raises:
            ChainError: as ``entries``.
            FedserError: likewise.
        """
        with self._lock:
            return self._chain.read()

    def head(self) -> Head:
        """How far the log is; raises as ``entries``."""
        with self._lock:
            return self._chain.head()

    def contains(self, head: Head) -> bool:
        """Whether the log once was as far as the server was told, and only grew since; raises as ``entries``."""
        with self._lock:
            return self._chain.contains(head)


def _remembered(entry: Entry) -> Entry | None:
    """What of a line stays in memory: the node runs for years, and a server makes it write lines."""
    if entry["kind"] == REFUSED or entry.get("verdict", ALLOWED) != ALLOWED:
        return None
    return {key: value for key, value in entry.items() if key not in _OF_THE_LINE}


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What a log comes to.

    Attributes:
        entries: its lines; of a log with a fault, None.
        head: the hash of the last.
        kinds: how many lines there are of each kind, in the order of ``KINDS``.
        first: when it begins, UTC.
        last: when it ends.
        fault: the first thing that is wrong with it, its line named; None where nothing is.
        told: how many lines of the coordinator's log of a run this site was told of; None where no such log was given,
            or this one has a fault.
        coordinator_fault: what is wrong with that log; None where nothing is, or it was not looked at.
    """

    entries: int | None = None
    head: str | None = None
    kinds: dict[str, int]
    first: str | None = None
    last: str | None = None
    fault: str | None = None
    told: int | None = None
    coordinator_fault: str | None = None


def verify(path: Path, coordinator: Path | None = None) -> Verified:
    """Verify every line of a log, and hold the coordinator's log of a run against it where that is given.

    A log whose last lines were cut off whole is a sound, shorter log: that shows only to the server, which was told how
    far it had been.

    Raises:
        FedserError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise FedserError(f"no audit log at {path}, expected the file audit.jsonl that the site's node writes")
    try:
        entries = Chain(path).read()
    except ChainError as error:
        return Verified(kinds={}, fault=str(error))
    head, found = head_of(entries), Counter(entry["kind"] for entry in entries)
    told, theirs = witness.compare_logs(entries, coordinator) if coordinator else (None, None)
    return Verified(
        entries=head.entries,
        head=head.hash,
        kinds={kind: found[kind] for kind in KINDS if found[kind]},
        first=entries[0]["time"] if entries else None,
        last=entries[-1]["time"] if entries else None,
        told=told,
        coordinator_fault=theirs,
    )
