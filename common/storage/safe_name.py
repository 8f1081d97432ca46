"""A name of any kind as a file's: a site, a run, a speaker may be called in any writing, and at any length."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

_BYTES = "surrogateescape"  # what is no UTF-8 in a name is the byte that it is
_LONGEST = 150  # bytes; file systems take 255, and a prefix and an ending come to it


def safe_name(name: str) -> str:
    """The name in characters that every file system takes; of a long one the beginning, and its hash.

    Two names never share one.
    """
    whole = quote(name, safe="", errors=_BYTES)
    if len(whole) <= _LONGEST:
        return whole
    return f"{whole[: _LONGEST - 65].rstrip('%')}-{hashlib.sha256(name.encode(errors=_BYTES)).hexdigest()}"
