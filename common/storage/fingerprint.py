"""One hash for all weights of a model, so that two logs can say that they mean the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np


def fingerprint(arrays: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """SHA-256 over every array's name, type, shape and bytes, in the order of the names.

    Args:
        arrays: any shapes.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
