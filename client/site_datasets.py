"""A site's recordings as the model gets them: normalised, in datasets that are made once and kept."""

from __future__ import annotations

from dataclasses import replace

from client.holding import Holding
from common.config.settings import Config
from common.data.crops import Crops
from common.data.dataset import SpeechDataset
from common.data.extraction import Recording
from common.data.heard import CHOSEN_AFTER, Heard
from common.data.normalise import Scaling, normalise, normalised, refuse_single_frames
from common.data.running import RunningDataset
from common.data.strangers import conditions, lone_mode, normalise_known
from common.data.unit_alone import prepare_alone
from common.errors import FedserError, UsageError
from common.learning.stranger_scores import StrangerScores, score_strangers
from common.models.model import EmotionModel, Statistics


def precomputed(config: Config) -> bool:
    """Whether the model sees nothing of a recording but figures that are the same in every epoch."""
    augment = config.augment
    anew = augment.time_masks or augment.feature_masks or augment.crop
    mixed = config.features.encoder.mixed  # whose weights are trained, before any figure is made
    return config.model.architecture.figures_alone and not anew and not mixed and not _running(config)


def _running(config: Config) -> bool:
    return config.data.normalise == "running"


class SiteDatasets:
    """What a site holds, ready for the model.

    Args:
        config: of the run.
        holding: what the site holds.
        features: of a frame.
        statistics: that the model has of the frames; None where it has none.
    """

    def __init__(self, config: Config, holding: Holding, features: int, statistics: Statistics | None) -> None:
        self._config, self._holding, self._features, self._statistics = config, holding, features, statistics
        self._classes = holding.classes
        self._datasets: dict[str, SpeechDataset] = {}

    def dataset(self, part: str, scaling: Scaling | None) -> SpeechDataset:
        """The normalised ``train`` or ``validation`` recordings; ``all`` are both.

        Where the site adds noise, each unit of ``train`` is made ready alone, and the site refuses none for what it
        holds: of one that cannot be used the place is left.

        Raises:
            UsageError: the scaling is missing, or nothing is left of any recording.
            FedserError: the scaling is of another width.
        """
        if part not in self._datasets:
            self._check_scaling(scaling)
            if _running(self._config) and scaling is not None:
                self._datasets[part] = self._adapting(part, scaling)
            elif part == "all":
                self._datasets[part] = self.dataset("train", scaling).joined(self.dataset("validation", scaling))
            elif part == "train" and self._config.privacy.at_sites:
                self._datasets[part] = SpeechDataset(self._ready_alone(scaling), self._classes)
            else:
                self._datasets[part] = self._known(part, scaling)
            if part in ("train", "all") and self._holding.targets:
                known = [self._holding.targets[own.name] for own in self._datasets[part].utterances]
                self._datasets[part].targets = known
        return self._datasets[part]

    def score_held_out(self, model: EmotionModel, scaling: Scaling | None) -> StrangerScores:
        """What a model takes the held-out recordings for: as of strangers, and with all of their speakers known.

        Raises:
            UsageError: the scaling is missing, or nothing is left of any recording.
            FedserError: the scaling is of another width.
        """
        self._check_scaling(scaling)
        self._refuse_single_frames("test")
        held_out = conditions(self._holding.test, self._config, scaling)
        return score_strangers(model, held_out, lambda ready: SpeechDataset(self._summarised(ready), self._classes))

    def lone_validation(self, scaling: Scaling | None) -> SpeechDataset:
        """The validation recordings, each as ``fedser predict`` has it: without others of its speaker.

        Raises:
            UsageError: the scaling is missing, or nothing is left of any recording.
            FedserError: the scaling is of another width.
        """
        mode = lone_mode(self._config)
        self._check_scaling(scaling)
        refuse_single_frames(self._holding.validation, mode, self._config.model.statistics)
        lone = normalise(self._holding.validation, mode, scaling)
        return SpeechDataset(self._summarised(lone), self._classes)

    def _adapting(self, part: str, scaling: Scaling) -> SpeechDataset:
        """Of a run whose model adapts to a speaker; the round is chosen after as few others as a stranger's may be."""
        if part == "validation":
            speakers = Heard(self._holding.validation, scaling, self._config.features, seed=self._config.seed)
            return SpeechDataset(speakers.after(CHOSEN_AFTER), self._classes)
        self._refuse_single_frames("train")
        beside = self._holding.validation if part == "all" else []
        crops = Crops.of(self._config)
        return RunningDataset([*self._holding.train, *beside], self._classes, scaling, self._config.features, crops)

    def _known(self, part: str, scaling: Scaling | None) -> SpeechDataset:
        self._refuse_single_frames(part)
        ready = normalise_known(self._part(part), self._config, scaling)
        return SpeechDataset(self._summarised(ready), self._classes, Crops.of(self._config))

    def _refuse_single_frames(self, part: str) -> None:
        refuse_single_frames(self._part(part), self._config.data.normalise, self._config.model.statistics)

    def _ready_alone(self, scaling: Scaling | None) -> list[Recording]:
        mode, unit = self._config.data.normalise, self._config.privacy.protects
        return prepare_alone(
            self._holding.train,
            unit,
            self._classes,
            self._features,
            lambda own: self._summarised(normalised(own, mode, scaling)),
        )

    def _check_scaling(self, scaling: Scaling | None) -> None:
        """By the message alone, before anything is made of a recording."""
        if self._config.data.normalise not in ("running", "global", "public"):
            return
        if scaling is None:
            raise UsageError(f"normalise={self._config.data.normalise} needs a scaling, and the server sent none")
        if any(tuple(own.shape) != (self._features,) for own in (scaling.mean, scaling.deviation)):
            raise FedserError(f"site {self._holding.name}: the server's scaling is not of {self._features} features")

    def _summarised(self, recordings: list[Recording]) -> list[Recording]:
        """What the model sees of recordings: their frames, or, where that is all, their statistics."""
        if self._statistics is None or not precomputed(self._config):
            return recordings
        of = self._statistics.of
        return [replace(recording, versions=tuple(map(of, recording.versions))) for recording in recordings]

    def _part(self, part: str) -> list[Recording]:
        return {"train": self._holding.train, "validation": self._holding.validation, "test": self._holding.test}[part]
