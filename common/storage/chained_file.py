"""An append-only file with a hash chain (``common.storage.hash_chain``), for records that must outlive a crash.

What holds. An append is on the disk before it returns, or it raises and leaves no line. Of a process that is killed
while it appends at most a torn last line remains; it is ignored, and cut off by the next that writes. One process
writes at a time: the lock lies on the file itself, and the operating system takes it from a process that died, once the
children that it forked meanwhile are dead too. Network file systems must support ``flock``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common.errors import ChainError, FedserError
from common.storage import atomic
from common.storage.hash_chain import NOTHING, Entry, Head, text_after, verified

_DIGEST = hashlib.sha256().digest_size
_PAUSE = 0.02  # seconds between two tries at a lock that another process holds


class Chain:
    """A hash-chained file. One object serves one thread; it verifies each line once, as long as the file only grows.

    Args:
        path: need not exist yet.
        timeout: how long to wait for another process that writes, in seconds.
        keep: what of a line stays in memory; None for nothing but its hash. All of it, unless said otherwise.
    """

    def __init__(
        self, path: Path, *, timeout: float = 600.0, keep: Callable[[Entry], Entry | None] = lambda entry: entry
    ) -> None:
        self.path = path
        self.timeout = timeout
        self._keep = keep
        self._forget()

    def _forget(self) -> None:
        self._size, self._known = 0, hashlib.sha256()  # of the lines that were verified
        self._hashes, self._entries = bytearray(), list[Entry]()

    def read(self) -> list[Entry]:
        """All lines that are kept, every line verified; none where there is no file. Waits for nobody.

        Raises:
            ChainError: a line was edited, dropped, repeated or moved.
            FedserError: the file cannot be read.
        """
        content = memoryview(_content(self.path))
        if hashlib.sha256(content[: self._size]).digest() != self._known.digest():
            self._forget()
        new = bytes(content[self._size :])
        found = list[Entry]()
        hashes = bytearray()
        for entry in verified(new, self.path, self._head):
            hashes += bytes.fromhex(entry["hash"])
            if (kept := self._keep(entry)) is not None:
                found.append(kept)
        whole = new[: new.rfind(b"\n") + 1]
        self._size += len(whole)
        self._known.update(whole)
        self._hashes += hashes
        self._entries += found
        return list(self._entries)

    def head(self) -> Head:
        """How far the file is; raises as ``read``."""
        self.read()
        return self._head

    def contains(self, head: Head) -> bool:
        """Whether the file once was as far as ``head``, and only grew since; raises as ``read``."""
        self.read()
        return 0 <= head.entries <= self._head.entries and self._head_at(head.entries) == head

    @property
    def _head(self) -> Head:
        return self._head_at(len(self._hashes) // _DIGEST)

    def _head_at(self, entries: int) -> Head:
        end = entries * _DIGEST
        return Head(entries=entries, hash=self._hashes[end - _DIGEST : end].hex()) if entries else NOTHING

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
            yield Writer(self.path, descriptor, entries, self._head, self._size)
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
        entries: all lines that the chain keeps, with those that were appended since.
        head: how far the file is with these.
    """

    def __init__(self, path: Path, descriptor: int, entries: list[Entry], head: Head, size: int) -> None:
        self.entries, self.head = entries, head
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
        text = text_after(self.head, kind, payload)
        self._write(text.encode() + b"\n")
        entry: Entry = json.loads(text)
        self.entries.append(entry)
        self.head = Head(entries=entry["n"], hash=entry["hash"])
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
