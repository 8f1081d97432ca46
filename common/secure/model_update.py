"""A model's update as one vector, and back: what is masked is how far the weights moved, not the weights themselves.

Moves are small, so a word's steps are fine for them. They are taken in float64, in the order of the arrays' names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.errors import FederationError
from common.secure.fixed_point import Vector

Arrays = Mapping[str, np.ndarray[Any, Any]]


def update_of(new: Arrays, old: Arrays) -> Vector:
    """How far each weight moved.

    Args:
        new: arrays by name, one or more.
        old: those that came in, of the same shapes.

    Returns:
        ``(entries,)``.

    Raises:
        FederationError: the two are not of one model.
    """
    shapes = [{name: array.shape for name, array in arrays.items()} for arrays in (new, old)]
    if shapes[0] != shapes[1]:
        differ = sorted(name for name in shapes[0] | shapes[1] if shapes[0].get(name) != shapes[1].get(name))
        raise FederationError(f"an update's arrays are not those of the model that came in: {', '.join(differ)}")
    return np.concatenate(
        [(new[name].astype(np.float64) - old[name].astype(np.float64)).ravel() for name in sorted(old)]
    )


def moved(old: Arrays, mean: Vector) -> dict[str, np.ndarray[Any, Any]]:
    """A model moved by a mean update, in its own types.

    Args:
        old: arrays by name, one or more.
        mean: ``(entries,)``, as ``update_of`` lays them out.

    Raises:
        FederationError: there are more entries than the model has, or fewer.
    """
    sizes = {name: old[name].size for name in sorted(old)}
    if len(mean) != (size := sum(sizes.values())):
        raise FederationError(f"a mean update has {len(mean)} entries, the model has {size}")
    parts = np.split(mean, np.cumsum(list(sizes.values()))[:-1])
    whole = {
        name: (old[name].astype(np.float64) + part.reshape(old[name].shape)).astype(old[name].dtype)
        for name, part in zip(sizes, parts, strict=True)
    }
    return {name: whole[name] for name in old}
