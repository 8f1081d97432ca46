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


# By kind of noise, by ``clean`` or the ratio in dB; the counts are of each speaker.
NoiseFigures = Mapping[str, Mapping[str, StrangerFigures]]
NoiseCounts = Mapping[str, Mapping[str, tuple[Counts, ...]]]


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
        noise: of a stranger's first recordings in noise, by its kind and its level, ``clean`` or the signal-to-noise
            ratio in dB; None where it was not asked for, or where no recording that is here has a sound.
    """

    uar: float
    wa: float
    macro_f1: float
    recall: Mapping[str, float | None]
    confusion: Counts
    loss: float | None
    stranger: Mapping[str, StrangerFigures | None] | None = may_lack()
    noise: NoiseFigures | None = may_lack()  # noqa: RUF009 -- a field's description, which nobody changes


@dataclass(frozen=True, kw_only=True)
class Calibration(Record):
    """How sure the chosen model was of the validation speakers, and the temperature that was fitted to it.

    Attributes:
        temperature: by which the model's logits are divided.
        recordings: of the validation speakers, that it was fitted to.
        ece_before: the expected calibration error at temperature 1, over ``bins``.
        unsure: by a share of the recordings, e.g. ``0.1``, how sure the model is, at temperature 1, at most of so many
            that it is least sure of.
        bins: ``right`` and ``wrong``: how many recordings the model was right and wrong about, by how sure it was, in
            equal bins from 0 to 1. Of a site that counts for less than it says they are as much less.
    """

    temperature: float
    recordings: int
    ece_before: float
    unsure: Mapping[str, float]
    bins: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, kw_only=True)
class Validation(Record):
    """What a round's model reaches on the validation speakers: as ``Scores``, and the mean loss."""

    uar: float
    wa: float
    macro_f1: float
    loss: float
