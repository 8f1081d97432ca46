"""Arrays of a reply, read without trust."""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import Array


def values_of(array: Array) -> np.ndarray[Any, Any] | None:
    """What an array of a reply holds; None where its bytes are no array. Reading it runs nothing, whoever wrote it."""
    try:
        values = array.numpy()
    except Exception:  # whatever bytes that were made by hand make of NumPy's reader
        return None
    return values if isinstance(values, np.ndarray) else None  # an archive of arrays is another thing
