"""The coordinator's own audit log, as far as this site is told of it: like the site's own, it may only grow.

Each round's message says how far the coordinator's log of the run is. The site notes that in its own log, so that the
coordinator can't take back later what its log said: a run's message that tells of a shorter log is refused, and the log
itself, where the coordinator hands it out, can be held against what was told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from client.node.checks import Refused
from common import protocol
from common.chain import Entry, Head, contains
from common.chain_file import Chain
from common.errors import FedserError

SERVER = "server"  # in a line of the site's log: the lines of the coordinator's, and the last one's hash


def told(earlier: Sequence[Entry], run: int, config: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What a message says of the coordinator's log, for the site's own; nothing where it says nothing.

    Args:
        earlier: the lines of the site's log.
        run: Flower's number.
        config: the message's settings, which the policy allows.

    Raises:
        Refused: the coordinator's log has fewer lines than the run's last message said, or others.
    """
    if not (entries := config.get(protocol.SERVER_ENTRIES)):
        return {}
    now = [entries, config.get(protocol.SERVER_HASH, "")]
    known = (line[SERVER] for line in reversed(earlier) if SERVER in line and line["run"] == run)
    before = next(known, [0, ""])
    if now[0] < before[0] or (now[0] == before[0] and now != before):
        raise Refused(
            f"the coordinator's audit log was cut or put back: it had {before[0]} lines in this run, and now it has "
            f"{entries}, or others"
        )
    return {SERVER: now}


def held_against(log: Sequence[Entry], path: Path) -> tuple[int, str | None]:
    """Hold the coordinator's log of a run against what this site noted of it.

    Args:
        log: the lines of the site's log.
        path: of the coordinator's file, ``audit.jsonl`` in a run's folder.

    Returns:
        How often the site was told of it, and what is wrong with it; None where nothing is.

    Raises:
        FedserError: there is no such file, or it cannot be read.
        ChainError: a line of it was edited, dropped or moved.
    """
    if not path.is_file():
        raise FedserError(f"no file {path}, expected the coordinator's audit.jsonl of a run")
    theirs = Chain(path).read()
    runs = {str(line.get("run")) for line in theirs}
    noted = [line for line in log if SERVER in line and str(line["run"]) in runs]
    for line in noted:
        entries, digest = line[SERVER]
        if not contains(theirs, Head(entries=entries, hash=digest)):
            fault = f"{path}: it is not the log that this site was told of on {line['time']}, which had {entries} lines"
            return len(noted), f"{fault}; the coordinator cut it, put it back, or wrote it anew"
    return len(noted), None
