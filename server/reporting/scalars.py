"""TensorBoard scalars by round, beside the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_scalars(folder: Path, folds: Sequence[Mapping[str, Any]]) -> None:
    """Write validation scores and each site's loss and UAR, a run a fold, and the held-out UAR at the chosen round."""
    from torch.utils.tensorboard.writer import SummaryWriter

    for fold in folds:
        writer = SummaryWriter(str(folder / fold["fold"].replace(":", "-")))
        for entry in fold["rounds"]:
            for tag, value in _tags(entry).items():
                if value is not None:
                    writer.add_scalar(tag, value, entry["round"])
        writer.add_scalar("test/uar", fold["test"]["uar"], fold["chosen_round"])
        writer.close()


def _tags(entry: Mapping[str, Any]) -> dict[str, float | None]:
    tags = {f"validation/{name}": value for name, value in (entry["validation"] or {}).items()}
    for site, told in entry["sites"].items():
        tags |= {f"{figure}/{site}": told[figure] for figure in ("loss", "uar")}
    return tags
