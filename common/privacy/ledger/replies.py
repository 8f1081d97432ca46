"""The replies that a site has released in its last rounds, kept so that they can be sent again.

A file each, beside the ledger: ``<run>-<round>.<SHA-256>``. It appears whole, is on the disk before the ledger says so,
and holds nothing that does not leave the site anyway.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import FedserError, LedgerError
from common.storage import atomic

if TYPE_CHECKING:  # with it come the accountants, which a site that only masks does not need
    from common.privacy.ledger.entries import Key

_NAME = re.compile(r"(?P<run>.+)-(?P<round>\d+)\.(?P<digest>[0-9a-f]{64})")


class Replies:
    """A folder of replies; whoever writes here holds the ledger's lock.

    Args:
        folder: made with the first reply.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def digests(self) -> dict[Key, str]:
        """The SHA-256 of each reply that lies here, as its name says it.

        Raises:
            FedserError: the folder cannot be read.
        """
        found = (_NAME.fullmatch(path.name) for path in self._files())
        return {(match["run"], int(match["round"])): match["digest"] for match in found if match}

    def save(self, key: Key, reply: bytes) -> str:
        """Keep a reply; returns its SHA-256.

        Raises:
            FedserError: for want of space or rights.
        """
        digest = hashlib.sha256(reply).hexdigest()
        atomic.write(self._path(key, digest), reply, durable=True)
        return digest

    def load(self, key: Key, digest: str) -> bytes:
        """A reply as it was saved.

        Raises:
            LedgerError: it is not there any more, or is not what was saved.
        """
        path = self._path(key, digest)
        try:
            reply = path.read_bytes()
        except OSError as error:
            raise LedgerError(
                f"round {key[1]} of run {key[0]} was released before and is not computed twice, and its reply {path} "
                f"cannot be read ({error.strerror}); only a run's last replies are kept: go on from a later round"
            ) from None
        if hashlib.sha256(reply).hexdigest() != digest:
            raise LedgerError(f"{path} was damaged or edited since it was stored; put it back, or start a new run")
        return reply

    def tidy(self, keep: set[Key]) -> None:
        """Delete all replies but some, and what a kill left of a file. What cannot be deleted harms nothing."""
        for path in self._files():
            match = _NAME.fullmatch(path.name)
            if path.name.startswith(".partial-") or (match and (match["run"], int(match["round"])) not in keep):
                with contextlib.suppress(OSError):
                    path.unlink()

    def _files(self) -> list[Path]:
        try:
            return sorted(self.folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FedserError(f"{self.folder} cannot be read: {error.strerror}; expected a folder of replies") from None

    def _path(self, key: Key, digest: str) -> Path:
        return self.folder / f"{key[0]}-{key[1]}.{digest}"
