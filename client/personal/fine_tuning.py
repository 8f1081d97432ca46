"""A run's model trained on at one site, epoch by epoch, with the run's own recipe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from common.config.settings import Config
from common.data.dataset import SpeechDataset
from common.learning.training import train
from common.models.model import EmotionModel
from common.seeds import seed_of

MOST_EPOCHS = 20
_SLOWER = 0.1  # than the run began: larger steps lose in one epoch what the run has learnt of others


def fine_tune(model: EmotionModel, data: SpeechDataset, config: Config, site: str, epochs: int) -> Iterator[int]:
    """Train a model in place, and yield the number of each epoch that is done, from 1.

    Args:
        model: the run's.
        data: the site's training recordings.
        config: of the run, whose optimizer, loss and augmentation are taken; of a private run's the noise is not.
        site: its name, on which all that is drawn depends, with the seed of the run.
        epochs: at most.
    """
    once = replace(config.training, local_epochs=1, least_steps=0)
    for epoch in range(1, epochs + 1):
        seed = seed_of(config.seed, site, "personal", epoch)
        train(model, data, once, config.augment, rate=_SLOWER * config.training.learning_rate, seed=seed)
        yield epoch
