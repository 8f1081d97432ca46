"""The model of a run's chosen round, before the run trained once more with the validation speakers.

It lies beside the run's model, for whoever wants to judge something by the validation speakers: to this one alone they
are strangers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from common.learning import saved_model
from common.learning.saved_model import Arrays, SavedModel
from common.models.architectures import build_model

FILE = "before-refit.safetensors"


def before_refit(saved: SavedModel, arrays: Arrays) -> SavedModel:
    """That model, with all that the run's own has but its weights.

    Args:
        saved: the run's.
        arrays: of the chosen round.
    """
    model = build_model(len(saved.scaling.mean), len(saved.classes), saved.config)
    model.load_state_dict({name: torch.from_numpy(own.copy()) for name, own in arrays.items()})
    return replace(saved, model=model.eval())


def keep_before_refit(model: Path, arrays: Arrays) -> None:
    """Write it beside a run's model.

    Args:
        model: the run's ``model.safetensors``.
        arrays: of the chosen round.
    """
    own = saved_model.load(model)
    saved_model.save(
        model.with_name(FILE),
        arrays,
        own.scaling.arrays(),
        own.config,
        own.classes,
        synthetic=own.synthetic,
        temperature=own.temperature,
        unsure=own.unsure,
    )


def load_before_refit(path: Path) -> SavedModel | None:
    """That of a run's folder, or beside its ``model.safetensors``; None where there is none.

    Raises:
        UsageError: it is broken, or of another version.
    """
    place = saved_model.file_of(path).with_name(FILE)
    return saved_model.load(place) if place.exists() else None
