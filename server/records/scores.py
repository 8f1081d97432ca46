"""What a model reaches, as ``fold.json`` and ``result.json`` have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.records.json_record import Record, may_lack

Counts = tuple[tuple[int, ...], ...]  # (classes, classes); rows are the truth, columns the prediction


@dataclass(frozen=True, kw_only=True)
class StrangerFigures(Record):
    """What a model reaches on held-out speakers of whom so much has been heard before; draws are counted together."""

    uar: float
    wa: float
    macro_f1: float


@dataclass(frozen=True, kw_only=True)
class Scores(Record):
    """What a model reaches on held-out speakers.

    Attributes:
        uar: unweighted average recall.
        wa: weighted accuracy.
        macro_f1: the mean of the classes' F1.
        recall: by class; None for a class without recordings.
        confusion: counts; rows are the truth, columns the prediction.
        loss: the mean cross-entropy; None where it is not known.
        stranger: by how many others of the speaker were heard before, ``0``, ``2``, ``8`` or ``all``; None for what
            the normalisation does not have.
    """

    uar: float
    wa: float
    macro_f1: float
    recall: Mapping[str, float | None]
    confusion: Counts
    loss: float | None
    stranger: Mapping[str, StrangerFigures | None] | None = may_lack()


@dataclass(frozen=True, kw_only=True)
class Validation(Record):
    """What a round's model reaches on the validation speakers: as ``Scores``, and the mean loss."""

    uar: float
    wa: float
    macro_f1: float
    loss: float
