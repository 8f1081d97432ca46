from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from client.teaching import soft_targets
from common.config.settings import Config
from common.data.extraction import Recording
from common.data.heard import adapted, sums_of
from common.data.normalise import Scaling, Sums
from common.errors import UsageError
from common.learning.saved_model import SavedModel
from common.models.architectures import build_model
from tests.common.examples import random_recordings

CLASSES = ("anger", "neutral")
FEATURES = 4
PRIOR = Scaling(mean=torch.full((FEATURES,), 0.5), deviation=torch.full((FEATURES,), 2.0), weight=10.0)


def teacher(**settings: Any) -> SavedModel:
    own = {"model.projection": 3, "model.hidden": 3, "model.attention": 2, **settings}
    config = Config().with_values(own)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model(FEATURES, len(CLASSES), config)
    return SavedModel(model=model.eval(), scaling=PRIOR, config=config, classes=CLASSES, temperature=3.0)


def spoken() -> list[Recording]:
    """Four recordings of each of two speakers, each with an altered copy."""
    found = random_recordings(speakers=2, each=4, features=FEATURES, classes=CLASSES)
    return [
        dataclasses.replace(
            own,
            utterance=dataclasses.replace(own.utterance, path=Path(f"{number}.npy")),
            versions=(own.versions[0], own.versions[0].flip(0) + 0.1),
        )
        for number, own in enumerate(found)
    ]


def scaling(mode: str, config: Config, recordings: list[Recording], place: int, version: int) -> Scaling:
    """By which a version is scaled, by the plain words of each mode."""
    own = recordings[place]
    speaker = [r for r in recordings if r.utterance.speaker == own.utterance.speaker]
    if mode == "running":
        return adapted(PRIOR, sums_of(speaker, config))
    if mode == "speaker":
        return Sums.of(speaker).scaling()
    if mode == "utterance":
        return Sums.of([dataclasses.replace(own, versions=(own.versions[version],))]).scaling()
    return PRIOR


@pytest.mark.parametrize("mode", ["running", "speaker", "utterance", "global"])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_each_version_has_what_the_teacher_says_of_it_with_its_own_scaling(mode: str, temperature: float) -> None:
    own, recordings = teacher(**{"data.normalise": mode}), spoken()
    found = soft_targets(own, recordings, temperature)
    assert list(found) == [r.utterance.name for r in recordings]
    for place, recording in enumerate(recordings):
        for version, frames in enumerate(recording.versions):
            scaled = scaling(mode, own.config, recordings, place, version)(frames)
            logits = own.model(scaled[None], torch.tensor([len(scaled)]))[0]
            expected = torch.exp(logits / temperature) / torch.exp(logits / temperature).sum()
            torch.testing.assert_close(found[recording.utterance.name][version], expected, rtol=1e-4, atol=1e-5)


def test_another_width_is_refused() -> None:
    wide = random_recordings(speakers=1, each=2, features=FEATURES + 1, classes=CLASSES)
    with pytest.raises(UsageError, match=r"--teacher has 4 features a frame, s0-anger\.wav has 5"):
        soft_targets(teacher(), wide, 1.0)
