"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from common.errors import FedserError


def write(path: Path, content: bytes | str, *, durable: bool = False) -> None:
    """Write a file, replacing an older one in a single step.

    Args:
        path: its folder is made where it does not exist.
        content: text is written as UTF-8.
        durable: wait until the disk has it, so that it outlives a power cut too.

    Raises:
        FedserError: for want of space or rights.
    """
    data = content.encode() if isinstance(content, str) else content
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            name = file.name
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise FedserError(
            f"{path} cannot be written: {error.strerror}; free space there or choose another folder"
        ) from None
