"""Arrays of a message, read without trust: nothing is allocated, and no value passes, but what was expected."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

import numpy as np
from numpy.lib import format as npy

from common.errors import FedserError

Values = np.ndarray[Any, np.dtype[Any]]

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_KINDS = "fiub"  # floats, whole numbers, truth values: never objects or texts
_STYPE = "numpy.ndarray"  # Flower's word for this format; it reads no other


def values_of(array: Any) -> Values:
    """What one of Flower's arrays holds, of the shape and type that it says, in C order.

    Raises:
        FedserError: its bytes are not just that: another format, another shape or type, or a byte too many.
    """
    content = BytesIO(array.data)
    if array.stype != _STYPE:
        raise FedserError("an array is not said to be in NumPy's format")
    try:
        shape, fortran, dtype = _READERS[npy.read_magic(content)](content)
    except Exception:  # whatever a header that was made by hand makes of its reader
        raise FedserError(f"an array of {len(array.data)} bytes is not in NumPy's format") from None
    left = len(array.data) - content.tell()
    if dtype.kind not in _KINDS or min(shape, default=0) < 0 or left != math.prod(shape) * dtype.itemsize:
        raise FedserError(f"an array says {dtype}{list(shape)} and holds {left} bytes")
    if (str(dtype), tuple(shape)) != (array.dtype, tuple(array.shape)):
        raise FedserError(f"an array says {array.dtype}{list(array.shape)} and holds {dtype}{list(shape)}")
    flat = np.frombuffer(array.data, dtype, offset=content.tell())
    return np.asarray(flat.reshape(shape, order="F" if fortran else "C"), order="C")
