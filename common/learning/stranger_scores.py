"""What a model takes held-out recordings for, under each condition of ``common.data.strangers``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.data.strangers import ALL, Condition
from common.learning.metrics import Confusion
from common.learning.training import Evaluated, evaluate


@dataclass(frozen=True, kw_only=True)
class StrangerScores:
    """Counts of held-out recordings.

    Attributes:
        known: where all of the speakers is known: what a run is scored by.
        after: by ``protocol.AFTER``, the counts ``(classes, classes)`` of each speaker, of all draws together; a
            condition that the normalisation does not have is missing.
    """

    known: Evaluated
    after: dict[str, dict[str, Confusion]]


def score_strangers(
    model: nn.Module,
    conditions: Iterable[Condition],
    dataset: Callable[[list[Recording]], SpeechDataset],
    where: torch.device | None = None,
) -> StrangerScores:
    """Evaluate a model under each condition.

    Args:
        model: maps ``(batch, frames, features)`` and lengths to logits.
        conditions: of the recordings; one of them is for ``all``.
        dataset: makes normalised recordings one.
        where: the device; a GPU where there is one by default.
    """
    after: dict[str, dict[str, Confusion]] = {}
    known: Evaluated | None = None
    for names, recordings in conditions:
        scored = evaluate(model, dataset(recordings), where)
        for name in set(names) - {ALL}:
            counts = after.setdefault(name, {})
            counts.update({speaker: own + counts.get(speaker, 0) for speaker, own in scored.confusion.items()})
        known = scored if ALL in names else known
    if known is None:
        raise ValueError("no condition is for all of the speaker")
    return StrangerScores(known=known, after=after)
