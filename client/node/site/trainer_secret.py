"""What a trainer must know to get work from its node: the node makes it once, and both read it in the site's state.

So whoever else reaches the node's address, another container on its network or another user of the machine, gets no
message, and can answer none in the site's name.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from pathlib import Path

from common.errors import FedserError
from common.storage import atomic

log = logging.getLogger("fedser.trainer")

_BYTES = 32
_PAUSE_SECONDS = 0.2  # until the trainer looks again


def make(path: Path) -> bytes:
    """The node's: read, or made where there is none. The file is the node's to write, and its group's to read.

    Raises:
        FedserError: it cannot be read or written.
    """
    if (known := _read(path)) is not None:
        return known
    made = secrets.token_hex(_BYTES)
    atomic.write(path, made, private=True)
    path.chmod(0o640)
    return bytes.fromhex(made)


def wait(path: Path) -> bytes:
    """The trainer's: read, as soon as the node has made it.

    Raises:
        FedserError: it cannot be read.
    """
    said = False
    while (known := _read(path)) is None:
        if not said:
            log.info("waiting for the node, which makes %s; both need the same --state", path)
        said = True
        time.sleep(_PAUSE_SECONDS)
    return known


def _read(path: Path) -> bytes | None:
    try:
        text = path.read_text(encoding="ascii") if os.access(path, os.R_OK) else ""
        return bytes.fromhex(text) if len(text) == 2 * _BYTES else None
    except (OSError, ValueError) as error:
        raise FedserError(f"{path} cannot be read ({error}); remove it, and restart the node and the trainer") from None
