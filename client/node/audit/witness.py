"""The coordinator's own audit log, as far as this site is told of it: like the site's own, it may only grow.

Each message to train says how far the coordinator's log of the run is. The site notes that in its own log, so that the
coordinator can't take back later what its log said: a message that tells of a log that did not grow is refused, and the
log itself, where the coordinator hands it out, can be held against what was told. A log is known by its first line's
hash: a run that is gone on with goes on with the same, which a site can tell in private runs alone, for others have a
new number then and nothing else. What the log says after the last message to train is told to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from client.node.audit import replay
from client.node.gate.outbound import Refused
from common import protocol
from common.errors import ChainError, FedserError
from common.messages.fields import is_sha256
from common.storage.chained_file import Chain
from common.storage.hash_chain import Entry, Head, contains

SERVER = "server"  # in a line of the site's log: the coordinator's first line's hash, its lines, the last one's hash


def check_server_log(earlier: Sequence[Entry], run: int, kind: str, config: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Check that the coordinator's log, as a message to train reports it, has only grown.

    Args:
        earlier: the lines of the site's log.
        run: Flower's number.
        kind: of message.
        config: the message's settings, which the policy allows.

    Raises:
        Refused: it says nothing, or the coordinator's log of the run has not grown, or was begun anew.
    """
    if kind != protocol.TRAIN:
        return {}
    log, entries, digest = (
        config.get(key) for key in (protocol.SERVER_LOG, protocol.SERVER_ENTRIES, protocol.SERVER_HASH)
    )
    if not entries or not all(map(is_sha256, (log, digest))):
        raise Refused("the message does not say how far the coordinator's audit log is")
    noted = [line for line in earlier if SERVER in line]
    name = config.get(protocol.RUN)
    same = (line for line in noted if line["run"] == run or (name and line.get(replay.NAME) == name))
    if any(line[SERVER][0] != log for line in same):
        raise Refused("the coordinator's audit log of this run was begun anew")
    before = next((line[SERVER][1] for line in reversed(noted) if line[SERVER][0] == log), 0)
    if entries <= before:  # every round, and every start, adds a line
        raise Refused(f"the coordinator's audit log has not grown: it had {before} lines, now it has {entries}")
    return {SERVER: [log, entries, digest]}


def compare_logs(log: Sequence[Entry], path: Path) -> tuple[int, str | None]:
    """Hold the coordinator's log of a run against what this site noted of it.

    Args:
        log: the lines of the site's log.
        path: of the coordinator's file, ``audit.jsonl`` in a run's folder.

    Returns:
        How many of its lines this site was told of, and what is wrong with it; None where nothing is.

    Raises:
        FedserError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise FedserError(f"no file {path}, expected the coordinator's audit.jsonl of a run")
    try:
        theirs = Chain(path).read()
    except ChainError as error:
        return 0, str(error)
    noted = [line for line in log if SERVER in line and theirs and line[SERVER][0] == theirs[0]["hash"]]
    for line in noted:
        _, entries, digest = line[SERVER]
        if not contains(theirs, Head(entries=entries, hash=digest)):
            why = f"{path} is not the log that this site was told of on {line['time']}, which had {entries} lines"
            return 0, f"{why}; the coordinator cut it, put it back, or wrote it anew"
    if not noted:
        return 0, f"this site was told of no log that begins as {path} does: it took no part, or that was written anew"
    return max(line[SERVER][1] for line in noted), None
