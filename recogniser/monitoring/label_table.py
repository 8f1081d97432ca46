"""What segments were in truth, as somebody says later: a CSV of ``id,emotion``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from common.errors import UsageError


def read_labels(path: Path, classes: Sequence[str]) -> dict[str, str]:
    """Each segment's emotion by its id.

    Raises:
        UsageError: it can't be read, lacks a column, names an emotion that is no class, or says two of one segment.
    """
    labels: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if missing := {"id", "emotion"} - set(rows.fieldnames or []):
                raise UsageError(
                    f"--labels {path} has no column {' and no '.join(sorted(missing))}; expected id,emotion"
                )
            for row in rows:
                key, emotion = (row["id"] or "").strip(), (row["emotion"] or "").strip()
                where = f"--labels {path}, line {rows.line_num}"
                if emotion not in classes:
                    raise UsageError(f"{where}: {emotion!r} is no class of the model; expected {', '.join(classes)}")
                if labels.setdefault(key, emotion) != emotion:
                    raise UsageError(f"{where}: {key} is {labels[key]} above and {emotion} here; keep one")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise UsageError(f"--labels {path} cannot be read: {said}") from None
    return labels
