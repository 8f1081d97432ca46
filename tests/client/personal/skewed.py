"""A site with more recordings of some emotions, and models whose weights are set by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from client.holding import Holding
from client.site import Site
from common.config.settings import Config
from common.data.extraction import Recording
from common.data.normalise import Scaling
from common.learning.saved_model import SavedModel
from common.models.architectures import build_model
from common.utterance import Utterance

CLASSES = ("anger", "neutral", "sadness")
LINEAR = {
    "model.kind": "linear",
    "model.hidden": 0,
    "model.statistics": "means",
    "model.dropout": 0.0,
    "data.normalise": "global",
    "augment.copies": 0,
    "augment.time_masks": 0,
    "augment.feature_masks": 0,
}


def config(**more: object) -> Config:
    return Config().with_values({**LINEAR, **{name.replace("__", "."): own for name, own in more.items()}})


def recordings(speaker: str, counts: Mapping[str, int], *, seed: int = 0) -> list[Recording]:
    """So many of each emotion; the features' i-th mean is large where the emotion is the i-th."""
    noise = torch.Generator().manual_seed(seed)
    made = []
    for emotion, count in counts.items():
        for take in range(count):
            features = 0.3 * torch.randn(6, 3, generator=noise) + 2 * torch.eye(3)[CLASSES.index(emotion)]
            path = Path(f"{speaker}-{emotion}-{take}.npy")
            utterance = Utterance(path=path, emotion=emotion, speaker=speaker, corpus="manifest")
            made.append(Recording(utterance=utterance, versions=(features,)))
    return made


def holding(train: list[Recording], validation: list[Recording]) -> Holding:
    return Holding(
        name="a",
        classes=CLASSES,
        train=train,
        validation=validation,
        test=[],
        ledger=Path("ledger"),
        state=Path("state"),
    )


def site(settings: Config, train: list[Recording], validation: list[Recording]) -> Site:
    return Site(settings, holding(train, validation))


def model(settings: Config, *, slope: float, temperature: float = 1.0) -> SavedModel:
    """One whose i-th logit is ``slope`` times the i-th mean; without a slope it knows nothing."""
    made = build_model(3, 3, settings)
    with torch.no_grad():
        made.classifier.bias.zero_()
        made.classifier.weight.zero_()
        made.classifier.weight[:, :3] = slope * torch.eye(3)
    scaling = Scaling(mean=torch.zeros(3), deviation=torch.ones(3))
    return SavedModel(model=made.eval(), scaling=scaling, config=settings, classes=CLASSES, temperature=temperature)
