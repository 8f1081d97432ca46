"""Small models of every kind for the tests of ``common``."""

from __future__ import annotations

from typing import Any

import torch

from common.config.kinds import KINDS
from common.config.settings import Config
from common.features.extractor import dimension
from common.models.architectures import build_model
from common.models.model import EmotionModel

READERS = [name for name, kind in KINDS.items() if not kind.figures_alone]
SIZES: dict[str, Any] = {
    "model.projection": 8,
    "model.hidden": 6,
    "model.attention": 4,
    "model.kernel": 3,
    "model.heads": 2,
    "features.mfcc": 3,
    "features.stack": 2,
}
LEVELS = {"features.mfcc": 0, "features.log_mel": 5, "features.deltas": 2}  # what the image is of
CLASSES = 4


def config_of(kind: str, **more: Any) -> Config:
    """Of a small model of a kind; what else is given is by flat name with ``__`` for the dot."""
    own = {name.replace("__", "."): value for name, value in more.items()}
    figures = {"model.statistics": "means"} if KINDS[kind].figures_alone else {}
    levels = LEVELS if kind == "crnn3d" else {}
    return Config().with_values({**SIZES, "model.kind": kind, **levels, **figures, **own})


def model_of(config: Config, seed: int = 0, *, shaken: bool = True) -> EmotionModel:
    """A model of some settings; shaken, no factor of it is 1 and no summand 0."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build_model(dimension(config.features), CLASSES, config)
        if shaken:
            for parameter in model.parameters():
                parameter.data.add_(0.2 * torch.randn_like(parameter))
    return model
