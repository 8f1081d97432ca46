"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from common.errors import FedserError
from common.escaping import ESCAPED


def write(path: Path, content: bytes | str, *, durable: bool = False, private: bool = False, mode: int = 0) -> None:
    """Write a file, replacing an older one in a single step.

    Args:
        path: its folder is made where it does not exist. Who may read it is as for any new file (the user's umask).
        content: text is written as UTF-8; what of a name is none is escaped.
        private: mode 600 from its first moment, for keys.
        mode: of who may read it, e.g. that of the file which it replaces; 0 for that of any new file.
        durable: wait until the disk has it, and its folder, so that they outlive a power cut too.

    Raises:
        FedserError: for want of space or rights.
    """
    data = content.encode(errors=ESCAPED) if isinstance(content, str) else content
    partial = path.with_name(f".partial-{secrets.token_hex(8)}")
    try:
        make_folder(path.parent, durable=durable)
        opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private or mode else 0o666)
        with os.fdopen(opened, "wb") as file:
            if mode:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        partial.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise FedserError(
            f"{path} cannot be written: {error.strerror}; free space there or choose another folder"
        ) from None


def make_folder(folder: Path, *, durable: bool = False) -> None:
    """Make a folder, and those above it, where they do not exist.

    Raises:
        OSError: for want of space or rights.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent, durable=durable)
    folder.mkdir(exist_ok=True)
    if durable:
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's list of files.

    Raises:
        OSError: the disk failed.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that has no such thing
            raise
    finally:
        os.close(descriptor)
