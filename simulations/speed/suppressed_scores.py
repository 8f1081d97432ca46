"""What a model makes of a stranger's first recordings in noise that a suppressor has taken off again."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import soundfile

from common.audio import augment, reading
from common.config.sections import NOISE_KINDS
from common.config.settings import AugmentConfig, Config
from common.data.extraction import Recording, extract_each
from common.errors import UsageError
from common.features.cache import FeatureCache
from common.learning.saved_model import SavedModel
from common.seeds import seed_of
from common.utterance import Utterance
from recogniser.sound.noise_suppression import cleaned
from server.records.scores import NoiseFigures
from server.rounds.noise_scores import (
    CLEAN,
    INAUDIBLE,
    RATIOS,
    SpeakerCounts,
    first_counts,
    noise_figures,
    one_noisy_copy,
)


def score_suppressed(
    saved: SavedModel, recordings: Sequence[Recording], config: Config, cache: FeatureCache, workers: int | None
) -> NoiseFigures:
    """Score recordings in the noise that ``score_noise`` adds, once noisereduce has been over them.

    Args:
        saved: the model.
        recordings: held-out ones, as they are.
        config: of its run.
        cache: where features are kept.
        workers: processes that compute these; None for one a core, 0 for none beside this one.

    Returns:
        By kind of noise and by level; ``clean`` is suppressed too.

    Raises:
        FedserError: the extra denoise is not installed.
        UsageError: nobody can predict a lone recording.
    """

    def counts(noise: AugmentConfig | None) -> SpeakerCounts:
        with tempfile.TemporaryDirectory() as folder:
            copies = [_written(own, config, noise, Path(folder) / f"{n}.wav") for n, own in enumerate(recordings)]
            found = extract_each(copies, config.features, AugmentConfig(), cache, workers=workers)
        known = [own for own in found if isinstance(own, Recording)]
        scored = first_counts(saved.model, known, saved.classes, config, saved.scaling)
        if scored is None:
            raise UsageError(f"with data.normalise = {config.data.normalise} nobody can predict a lone recording")
        return scored

    plain = counts(None)
    levels = {kind: counts(one_noisy_copy(kind, INAUDIBLE)) if kind == "room" else plain for kind in NOISE_KINDS}
    return noise_figures(
        {
            kind: {CLEAN: levels[kind], **{str(ratio): counts(one_noisy_copy(kind, ratio)) for ratio in RATIOS}}
            for kind in NOISE_KINDS
        }
    )


def _written(own: Recording, config: Config, noise: AugmentConfig | None, path: Path) -> Utterance:
    """A recording's cleaned copy, as a file; the noise is that which its noisy copy has elsewhere."""
    said, rate = own.utterance, config.features.sampling_rate
    signal = reading.load(said.path, rate, said.start, said.end, config.privacy.longest, said.channel)
    if noise:
        signal = augment.alter(signal, rate, noise, seed_of(own.digest, 1))
    soundfile.write(path, cleaned(signal.numpy(), rate), rate, subtype="FLOAT")
    return dataclasses.replace(said, path=path, start=None, end=None, channel=None)
