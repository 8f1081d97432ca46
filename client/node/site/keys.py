"""A site's key, by which the coordinator knows it: ECDSA P-384 in OpenSSH's format, as ``ssh-keygen -t ecdsa -b 384``.

Flower takes no other. The private key is made here and never leaves; the public one goes to the coordinator.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from common.deployment.site_kit import PRIVATE_KEY, PUBLIC_KEY, make_key
from common.errors import FedserError


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """The two files, and the public key's line."""

    private: Path
    public: Path
    line: str


def generate(folder: Path) -> KeyPair:
    """Make ``key``, which its owner alone may read, and ``key.pub``.

    Raises:
        FedserError: one of them is there already, or cannot be written; an older key stays as it is.
    """
    private, public = folder / PRIVATE_KEY, folder / PUBLIC_KEY
    for path in (private, public):
        if path.exists():
            raise FedserError(
                f"{path} is there already and is not overwritten: the coordinator knows the site by it; "
                "move both files away to make another, and have its key.pub added anew"
            )
    key = make_key()
    _create(private, key.private, 0o600)
    _create(public, f"{key.public}\n".encode(), 0o644)
    return KeyPair(private=private, public=public, line=key.public)


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist, readable as ``mode`` says from its first moment; no part of it stays behind."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise FedserError(f"{path} cannot be made: {error.strerror}; choose a folder that may be written") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask takes away
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise FedserError(f"{path} cannot be written: {error.strerror}; free space there") from None
