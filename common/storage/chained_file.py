"""An append-only file with a hash chain (``common.storage.hash_chain``), for records that must outlive a crash.

What holds. An append is on the disk before it returns, or it raises and leaves no line. Of a process that is killed
while it appends at most a torn last line remains; it is ignored, and cut off by the next that writes. One process
writes at a time: the lock lies on the file itself, and the operating system takes it from a process that died, once the
children that it forked meanwhile are dead too. Network file systems must support ``flock``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.errors import ChainError, FedserError
from common.storage import atomic
from common.storage.hash_chain import Entry, text_after, verified

_PAUSE = 0.02  # seconds between two tries at a lock that another process holds


class Chain:
    """A hash-chained file. One object serves one thread; it verifies each line once, as long as the file only grows.

    Args:
        path: need not exist yet.
        timeout: how long to wait for another process that writes, in seconds.
    """

    def __init__(self, path: Path, *, timeout: float = 600.0) -> None:
        self.path = path
        self.timeout = timeout
        self._known = b""  # the lines that were verified, and what they hold
        self._entries: list[Entry] = []

    def read(self) -> list[Entry]:
        """All lines, verified; none where there is no file. Waits for nobody.

        Raises:
            ChainError: a line was edited, dropped, repeated or moved.
            FedserError: the file cannot be read.
        """
        content = _content(self.path)
        whole = content[: content.rfind(b"\n") + 1]
        grown = whole.startswith(self._known)
        start, before = (len(self._known), self._entries) if grown else (0, [])
        self._entries = verified(whole[start:], self.path, before)
        self._known = whole
        return list(self._entries)

    @contextlib.contextmanager
    def lock(self) -> Iterator[Writer]:
        """Lock the file against all other writers, and make it where there is none.

        Yields:
            What appends. Many appends under one lock cost one verification.

        Raises:
            ChainError: as ``read``.
            FedserError: another process holds it for longer than the timeout, or the file cannot be written.
        """
        descriptor, owner = self._acquire(), os.getpid()
        try:
            entries = self.read()
            yield Writer(self.path, descriptor, entries, len(self._known))
        finally:
            if os.getpid() == owner:  # a forked child shares the lock, which is its parent's to give up
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def append(self, kind: str, **payload: Any) -> Entry:
        """Append one line; see ``Writer.append``."""
        with self.lock() as writer:
            return writer.append(kind, **payload)

    def _acquire(self) -> int:
        deadline = time.monotonic() + self.timeout
        while (descriptor := self._try_lock()) is None:
            if time.monotonic() > deadline:
                raise FedserError(
                    f"{self.path} is in use by another process, for {self.timeout:g} s or longer; "
                    "try again when that has ended"
                )
            time.sleep(_PAUSE)
        return descriptor

    def _try_lock(self) -> int | None:
        """The descriptor of the locked file, or None where another process has it."""
        descriptor = -1
        try:
            descriptor = _open(self.path)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, self.path):  # else somebody put another file in its place meanwhile
                return descriptor
        except BlockingIOError:
            pass
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise _unwritable(self.path, error) from None
        os.close(descriptor)
        return None


class Writer:
    """A chain that this process has locked; made by ``Chain.lock``.

    Attributes:
        entries: all lines, with those that were appended since.
    """

    def __init__(self, path: Path, descriptor: int, entries: list[Entry], size: int) -> None:
        self.entries = entries
        self._path = path
        self._descriptor = descriptor
        self._size = size
        self._cut()

    def append(self, kind: str, **payload: Any) -> Entry:
        """Append a line and wait until the disk has it.

        Args:
            kind: what the line records.
            payload: see ``common.storage.hash_chain.text_after``.

        Returns:
            The line as it will be read.

        Raises:
            FedserError: it cannot be written; the file is as it was before.
            ChainError: somebody else changed or replaced the file in spite of the lock.
        """
        text = text_after(self.entries, kind, payload)
        self._write(text.encode() + b"\n")
        entry: Entry = json.loads(text)
        self.entries.append(entry)
        return entry

    def _write(self, data: bytes) -> None:
        try:
            untouched = _is_at(self._descriptor, self._path) and os.fstat(self._descriptor).st_size == self._size
            if not untouched:
                raise ChainError(f"{self._path} was changed or replaced while it was in use; nothing was appended")
            written = 0
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._size + written)
            os.fsync(self._descriptor)
        except OSError as error:
            with contextlib.suppress(FedserError):
                self._cut()
            raise _unwritable(self._path, error) from None
        self._size += len(data)

    def _cut(self) -> None:
        """Take off what a kill or a full disk left of a line."""
        try:
            if os.fstat(self._descriptor).st_size > self._size:
                os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            raise _unwritable(self._path, error) from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise FedserError(f"{path} cannot be read: {error.strerror}; expected a file that may be read") from None


def _open(path: Path) -> int:
    """Open a file, or make it; then its folder, and the folder's, outlive a power cut too."""
    flags = os.O_RDWR | os.O_CLOEXEC
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, flags)
    atomic.make_folder(path.parent, durable=True)
    descriptor = os.open(path, flags | os.O_CREAT, 0o666)
    atomic.sync_folder(path.parent)
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _unwritable(path: Path, error: OSError) -> FedserError:
    return FedserError(f"{path} cannot be written: {error.strerror}; free space there or choose another folder")
