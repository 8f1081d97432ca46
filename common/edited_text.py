"""Text files that people edit: read as their editors leave them, with a byte order mark or in UTF-16."""

from __future__ import annotations

import codecs
from pathlib import Path

_MARKS = (  # the longer first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is in another encoding than UTF-8, and in none that a byte order mark names.
    """
    return decoded(path.read_bytes())


def decoded(content: bytes) -> str:
    """As ``read``, of the file's bytes."""
    return content.decode(_encoding(content)).lstrip("\ufeff")


def _encoding(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    zero = content[:2].find(b"\0")  # without a mark, UTF-16's first character, an ASCII one, still shows
    return {0: "utf-16-be", 1: "utf-16-le"}.get(zero, "utf-8")
