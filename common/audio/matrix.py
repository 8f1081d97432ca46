"""Precomputed feature matrices: ``.npy`` files of shape ``(frames, features)``, one frame for functionals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.errors import AudioError
from common.messages.fields import WIDEST


def read_matrix(path: Path, most: int | None = None) -> npt.NDArray[np.float32]:
    """Read a feature matrix.

    Args:
        path: the file.
        most: so many frames of it, the first ones; None for all. The rest is not read.

    Returns:
        float32 of shape ``(frames, features)``, finite.

    Raises:
        AudioError: ``unreadable`` where it is no matrix of real numbers, ``short`` where it has no frame,
            ``non-finite``. Where it may be cut, also where it is wider than any model.
    """
    try:
        # a pickle in a .npy would run code on loading
        matrix = np.load(path, mmap_mode=None if most is None else "r", allow_pickle=False)
    except OSError as error:
        raise AudioError("unreadable", (error.strerror or "cannot be opened").lower()) from None
    except (ValueError, EOFError):
        raise AudioError("unreadable", "not readable as a .npy array of numbers") from None
    if not isinstance(matrix, np.ndarray):
        raise AudioError("unreadable", "an .npz archive, expected one .npy array")
    if matrix.dtype.kind not in "fiu":
        raise AudioError("unreadable", f"holds {matrix.dtype} values, expected numbers")
    if matrix.ndim != 2 or matrix.shape[1] == 0:
        raise AudioError("unreadable", f"has shape {matrix.shape}, expected (frames, features)")
    if most is not None and matrix.shape[1] > WIDEST:
        raise AudioError("unreadable", f"has {matrix.shape[1]} features, expected {WIDEST} at most")
    if len(matrix) == 0:
        raise AudioError("short", "has no frames")
    matrix = matrix[:most]
    with np.errstate(over="ignore"):
        values = matrix.astype(np.float32)
    if not np.isfinite(values).all():
        raise AudioError("non-finite", f"{int((~np.isfinite(values)).sum())} values are not finite float32 numbers")
    return values
