"""A hash chain of JSON lines: the form of records that must show any edit.

A line is a JSON object: ``n`` (1, 2, …), ``time`` (UTC), ``kind``, what was recorded, ``prev`` (the hash of the line
before; zeros in line 1) and ``hash`` (SHA-256 over the canonical JSON of all the rest: sorted keys, no spaces, ASCII).

A line that was edited, dropped, repeated or moved is found. But whoever may write the file can cut its tail, or make a
new chain from any line on: that shows only against a ``Head`` that somebody else keeps. ``common.storage.chained_file``
is how the lines get to a disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common.errors import ChainError, UsageError

Entry = dict[str, Any]

_ZEROS = "0" * 64
_RESERVED = ("n", "time", "kind", "prev", "hash")


@dataclass(frozen=True, kw_only=True)
class Head:
    """How far a chain is: how many lines it has, and the hash of the last. It stands for all of them."""

    entries: int
    hash: str


NOTHING = Head(entries=0, hash=_ZEROS)


def head_of(entries: Sequence[Entry]) -> Head:
    """How far a chain is that has these lines."""
    return Head(entries=len(entries), hash=entries[-1]["hash"] if entries else _ZEROS)


def contains(entries: Sequence[Entry], head: Head) -> bool:
    """Whether a chain once was as far as ``head``, and only grew since."""
    return 0 <= head.entries <= len(entries) and head_of(entries[: head.entries]) == head


def text_after(head: Head, kind: str, payload: Mapping[str, Any]) -> str:
    """The line that goes on with a chain, without its newline.

    Args:
        head: of the lines so far.
        kind: what the line records.
        payload: JSON-ready, its numbers finite; none of ``n``, ``time``, ``prev``, ``hash``.

    Raises:
        UsageError: the payload cannot be recorded.
    """
    if clash := payload.keys() & set(_RESERVED):
        raise UsageError(f"a line cannot record {', '.join(sorted(clash))}, expected other names")
    try:
        json.dumps(payload, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a line cannot record its payload ({error}), expected JSON") from None
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"n": head.entries + 1, "time": now, "kind": kind, **payload, "prev": head.hash}
    return _text({**line, "hash": _hash(line)})


def verified(content: bytes, path: Path, before: Head = NOTHING) -> Iterator[Entry]:
    """The lines of a chain, one by one; what follows the last newline is a torn line, and no part of it.

    Args:
        content: of the file, from the first line that is not in ``before``.
        path: of the file, for the message.
        before: the head of its first lines, where they were verified already.

    Raises:
        ChainError: a line was edited, dropped, repeated or moved.
    """
    for line in io.BytesIO(content[: content.rfind(b"\n") + 1]):
        text = line.removesuffix(b"\n")
        entry = _parsed(text)
        if fault := _fault(entry, text, before):
            raise ChainError(
                f"{path}: line {before.entries + 1} {fault}; put the file back as it was, from a copy that is complete"
            )
        before = Head(entries=before.entries + 1, hash=entry["hash"])
        yield entry


def _parsed(line: bytes) -> Entry:
    """The object that a line holds; an empty one where it holds none."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return entry if isinstance(entry, dict) else {}


def _fault(entry: Entry, line: bytes, before: Head) -> str | None:
    """What is wrong with a line, given those before it."""
    if not set(_RESERVED) <= entry.keys():
        return "is no line of a hash chain"
    rest = {key: value for key, value in entry.items() if key != "hash"}
    if entry["hash"] != _hash(rest) or line != _text(entry).encode():
        return "was edited: its hash does not match"
    if entry["n"] != before.entries + 1:
        return f"was line {reprlib.repr(entry['n'])} once: lines before it were dropped, added or moved"
    if entry["prev"] != before.hash:
        return "does not follow the line before it: one of the two was replaced"
    return None


def _hash(line: Entry) -> str:
    canonical = json.dumps(line, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _text(entry: Entry) -> str:
    return json.dumps(entry, separators=(", ", ": "))
