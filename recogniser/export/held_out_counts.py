"""How often a run's models were right about each class of its held-out speakers: what who uses one can hold it to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULT = "result.json"


def held_out_counts(model: Path, classes: Sequence[str]) -> dict[str, list[int]] | None:
    """Of each class the recordings that all folds' models took for it, and how many there were.

    Args:
        model: a run's folder, or its ``model.safetensors``.
        classes: of the model.

    Returns:
        By class ``[hits, of]``; None where no run with scores lies there.
    """
    folder = model if model.is_dir() else model.parent
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        counts = [_matrix(fold, len(classes)) for fold in result["folds"] if fold.get("test")]
        if not counts or list(result["corpus"]["classes"]) != list(classes):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    places = enumerate(classes)
    return {name: [sum(own[i][i] for own in counts), sum(sum(own[i]) for own in counts)] for i, name in places}


def _matrix(fold: dict[str, Any], classes: int) -> list[list[int]]:
    found = [[int(count) for count in row] for row in fold["test"]["confusion"]]
    if [len(row) for row in found] != [classes] * classes:
        raise ValueError("its confusion is of other classes")
    return found
