"""What a model makes of a stranger's first recordings in noise: each at several levels, by the kind of noise."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from common.config.sections import NOISE_KINDS, SCORES
from common.config.settings import AugmentConfig, Config
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording, extract_each
from common.data.normalise import Scaling
from common.data.strangers import FIRST, conditions
from common.features.cache import FeatureCache
from common.learning import metrics
from common.learning.training import evaluate
from server.records.scores import Counts, NoiseCounts, NoiseFigures, StrangerFigures

log = logging.getLogger("fedser.server")

CLEAN = "clean"
RATIOS = (20, 10, 5, 0)  # dB
SpeakerCounts = tuple[Counts, ...]
INAUDIBLE = 100.0  # dB: a room without noise


def score_noise(
    model: nn.Module,
    recordings: Sequence[Recording],
    classes: Sequence[str],
    config: Config,
    scaling: Scaling | None,
    cache: FeatureCache,
    *,
    workers: int | None = 0,
) -> NoiseCounts | None:
    """Score recordings in noise, each as a lone one of a stranger's.

    Voices and rooms are of another set than that of training. ``clean`` is without noise; in a room with its echoes.

    Args:
        model: maps ``(batch, frames, features)`` and lengths to logits.
        recordings: held-out ones, as they are.
        classes: of the run.
        config: of the run.
        scaling: that came with the model.
        cache: where the features of noisy recordings are kept.
        workers: processes that compute these; None for one a core, 0 for none beside this one.

    Returns:
        The counts of each speaker by kind and by level, ``clean`` or dB; None where there is no sound.
    """
    sounds = [own for own in recordings if not own.utterance.is_matrix]
    if len(sounds) < len(recordings) or not sounds:
        matrices = len(recordings) - len(sounds)
        log.warning("noise: %d recordings are matrices, which have no sound to add noise to", matrices)
        return None
    known = first_counts(model, sounds, classes, config, scaling)
    if known is None:
        log.warning("noise: with data.normalise = %s nobody can predict a lone recording", config.data.normalise)
        return None

    def noisy(kind: str, ratio: float) -> SpeakerCounts:
        made = _in_noise(sounds, config, one_noisy_copy(kind, ratio), cache, workers)
        return first_counts(model, made, classes, config, scaling) or known

    def curve(kind: str) -> dict[str, SpeakerCounts]:
        clean = noisy(kind, INAUDIBLE) if kind == "room" else known
        return {CLEAN: clean, **{str(ratio): noisy(kind, ratio) for ratio in RATIOS}}

    return {kind: curve(kind) for kind in NOISE_KINDS}


def noise_figures(counts: NoiseCounts) -> NoiseFigures:
    """What the speakers' counts come to, by kind and by level."""
    return {kind: {level: figures_of(own) for level, own in levels.items()} for kind, levels in counts.items()}


def figures_of(tables: Sequence[metrics.Confusion] | SpeakerCounts) -> StrangerFigures:
    """The figures of all speakers' counts together."""
    whole = np.sum(tables, axis=0)
    return StrangerFigures.from_json({name: float(figure(whole)) for name, figure in metrics.FIGURES.items()})


def one_noisy_copy(kind: str, ratio: float) -> AugmentConfig:
    """One copy of each recording, in noise and altered in nothing else."""
    ratios = (float(ratio), float(ratio))
    return AugmentConfig(copies=1, speed=0.0, gain=0.0, noise=ratios, noise_kinds=(kind,), noise_set=SCORES)


def _in_noise(
    sounds: Sequence[Recording], config: Config, copies: AugmentConfig, cache: FeatureCache, workers: int | None
) -> list[Recording]:
    own, longest = [sound.utterance for sound in sounds], config.privacy.longest
    found = extract_each(own, config.features, copies, cache, workers=workers, seconds=longest)
    return [dataclasses.replace(item, versions=item.versions[1:]) for item in found if isinstance(item, Recording)]


def first_counts(
    model: nn.Module, recordings: Sequence[Recording], classes: Sequence[str], config: Config, scaling: Scaling | None
) -> SpeakerCounts | None:
    """Each speaker's, of lone recordings; None where the normalisation has nothing for them."""
    first = next((own for names, own in conditions(recordings, config, scaling) if FIRST in names), None)
    if first is None:
        return None
    found = evaluate(model, SpeechDataset(first, classes), torch.device("cpu")).confusion
    return tuple(tuple(map(tuple, own.tolist())) for own in found.values())
