"""TensorBoard scalars by round, beside the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from common.storage.openable import openable
from common.storage.safe_name import safe_name
from server.records.fold_record import Round
from server.reporting.run_record import RunFold


def write_scalars(folder: Path, folds: Sequence[RunFold]) -> None:
    """Write validation scores and each site's loss and UAR, a run a fold, and the held-out UAR at the chosen round."""
    from torch.utils.tensorboard.writer import SummaryWriter

    folder.mkdir(parents=True, exist_ok=True)
    with openable(folder) as plain:
        for fold in folds:
            writer = SummaryWriter(str(plain / safe_name(fold.fold.replace(":", "-"))))
            for entry in fold.rounds:
                for tag, value in _tags(entry).items():
                    if value is not None:
                        writer.add_scalar(tag, value, entry.round)
            if fold.test is not None:
                writer.add_scalar("test/uar", fold.test.uar, fold.chosen_round)
            writer.close()


def _tags(entry: Round) -> dict[str, float | None]:
    validation = entry.validation.as_json() if entry.validation else {}
    tags = {f"validation/{name}": value for name, value in validation.items()}
    for site, told in entry.sites.items():
        tags |= {f"loss/{site}": told.loss, f"uar/{site}": told.uar}
    return tags
