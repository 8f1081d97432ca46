"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from common.errors import FedserError


def write(path: Path, content: bytes | str, *, durable: bool = False) -> None:
    """Write a file, replacing an older one in a single step.

    Args:
        path: its folder is made where it does not exist. Who may read it is as for any new file (the user's umask).
        content: text is written as UTF-8.
        durable: wait until the disk has it, so that it outlives a power cut too.

    Raises:
        FedserError: for want of space or rights.
    """
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".partial-{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise FedserError(
            f"{path} cannot be written: {error.strerror}; free space there or choose another folder"
        ) from None
