"""What one site holds: its training, validation and held-out speakers' recordings, as datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from torch import nn

from common import plan as plans
from common.cache import FeatureCache, default_directory
from common.config import Config
from common.dataset import SpeechDataset
from common.errors import FedserError
from common.holdings import of_speakers, recordings_of
from common.lstm import BiLSTM
from common.model import EmotionModel
from common.normalise import Scaling, Sums, normalise
from common.plan import Plan
from common.protocol import CACHE, PARTITION, PLAN, RUN_KEYS
from common.sites import SiteSplit


class Site:
    """One site's data, loaded once and kept.

    Args:
        config: of the run.
        plan: of the fold.
        split: this site's speakers.
        cache: of features.
    """

    def __init__(self, config: Config, plan: Plan, split: SiteSplit, cache: FeatureCache) -> None:
        self.config = config
        self.name = split.name
        self.classes = plan.classes
        recordings = recordings_of(config, plan, {*split.train, *split.validation, *split.test}, cache)
        self._train = of_speakers(recordings, split.train)
        self._validation = of_speakers(recordings, split.validation)
        self._test = of_speakers(recordings, split.test)
        if not self._train:
            raise FedserError(f"site {self.name} has no usable recording to train on")
        self._datasets: dict[str, SpeechDataset] = {}

    @cached_property
    def model(self) -> EmotionModel:
        """One model for all messages: each overwrites its weights."""
        return EmotionModel(self.features, len(self.classes), self.config.model, lstm=_lstm(self.config))

    @cached_property
    def units(self) -> int:
        """How many of the privacy unit it trains on; recordings, where nothing is private."""
        if self.config.privacy.at_sites and self.config.privacy.unit == "speaker":
            return len({recording.utterance.speaker for recording in self._train})
        return len(self._train)

    @property
    def features(self) -> int:
        """Features of a frame."""
        return self._train[0].versions[0].shape[1]

    def counts(self) -> tuple[int, int, int]:
        """Units to train on, recordings to validate on, and held out."""
        return self.units, len(self._validation), len(self._test)

    def sums(self) -> Sums:
        """Of the training recordings' features: what the server needs for the scaling."""
        return Sums.of(self._train)

    def dataset(self, part: str, scaling: Scaling | None) -> SpeechDataset:
        """The normalised ``train``, ``validation`` or ``test`` recordings."""
        if part not in self._datasets:
            recordings = {"train": self._train, "validation": self._validation, "test": self._test}[part]
            normalised = normalise(recordings, self.config.data.normalise, scaling)
            self._datasets[part] = SpeechDataset(normalised, self.classes)
        return self._datasets[part]


def _lstm(config: Config) -> Callable[..., nn.Module]:
    """The LSTM whose gradients come one an utterance, where they are to be clipped one by one."""
    if config.privacy.at_sites and config.privacy.unit == "utterance":
        from common.privacy.lstm import PrivateLSTM

        return PrivateLSTM
    return BiLSTM


_open: dict[tuple[str, int], Site] = {}


def open_site(run_config: Mapping[str, object], node_config: Mapping[str, object]) -> Site:
    """The site that a node is, in a simulation: the plan's ``partition-id``-th; loaded at the first message."""
    partition = node_config[PARTITION]
    key = (str(run_config[PLAN]), partition if isinstance(partition, int) else int(str(partition)))
    if key not in _open:
        if any(plan != key[0] for plan, _ in _open):
            _open.clear()  # another fold: a process that runs many would hold all their data
        settings = {name: value for name, value in run_config.items() if name not in RUN_KEYS}
        plan = plans.read(Path(key[0]))
        cache = FeatureCache(Path(str(run_config[CACHE])) if run_config.get(CACHE) else default_directory())
        _open[key] = Site(Config().with_values(settings), plan, plan.sites[key[1]], cache)
    return _open[key]
