"""One site: the model that it trains, and its training, validation and held-out speakers' recordings as datasets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from client.holding import Holding
from client.site_datasets import SiteDatasets, precomputed
from client.teaching import Targets, encoder_of, soft_targets
from common.config.run_config import parse_run_config
from common.config.settings import Config
from common.curation.problems import usual_width
from common.data.dataset import SpeechDataset
from common.data.extraction import Found
from common.data.heard import sums_of
from common.data.normalise import Scaling, Sums
from common.data.places import Places, take_places
from common.data.resident import each_of, listed_of, of_speakers, recordings_of
from common.errors import FedserError
from common.features.cache import FeatureCache, default_directory
from common.features.front_end import dimension
from common.learning import saved_model
from common.learning.stranger_scores import StrangerScores
from common.models.architectures import build_model
from common.models.model import EmotionModel
from common.privacy.recipe import refuse_leaks
from common.protocol import CACHE, LEDGER, OUT, PARTITION, PLAN, STATE
from common.splits import plan as plans
from common.splits.plan import Plan, refuse_shared
from common.splits.sites import SiteSplit
from common.utterance import Utterance


class Site:
    """One site's data, loaded once and kept.

    Args:
        config: of the run.
        holding: what the site holds.

    Raises:
        UsageError: the run is private, and a setting would tell of the recordings beside the noise.
        SplitError: a speaker is in two of its parts.
        FedserError: there is nothing to train on.
    """

    def __init__(self, config: Config, holding: Holding) -> None:
        refuse_leaks(config)
        self.config, self.holding = config, holding
        self.name, self.classes = holding.name, holding.classes
        self._parts = {"train": holding.train, "validation": holding.validation, "test": holding.test}
        self._train = holding.train
        speakers = {part: {r.utterance.speaker for r in own} for part, own in self._parts.items()}
        refuse_shared(f"site {self.name}", speakers)
        self._places = holding.places
        if not self._train:
            raise FedserError(f"site {self.name} has no usable recording to train on")

    @cached_property
    def model(self) -> EmotionModel:
        """One model for all messages: each overwrites its weights."""
        config = self.config
        model = build_model(self.features, len(self.classes), config, precomputed=precomputed(config))
        if config.privacy.at_sites and config.privacy.protects.single:
            from common.privacy.per_sample.private_lstm import with_private_lstms  # opacus: a second to import

            return with_private_lstms(model)
        return model

    @cached_property
    def units(self) -> int:
        """How many of the privacy unit it trains on; recordings, where nothing is private."""
        privacy, own = self.config.privacy, [recording.utterance for recording in self._train]
        return privacy.protects.count(own) if privacy.at_sites else len(own)

    @cached_property
    def features(self) -> int:
        """Features of a frame; where they come to units' places, as these have them, else as most recordings do."""
        if self._places:
            return self._places.width
        widths = [recording.versions[0].shape[1] for recording in self._train if recording.versions]
        return usual_width(widths) or dimension(self.config.features)

    def counts(self) -> tuple[int, int, int]:
        """Units to train on, recordings to validate on, and held out."""
        return self.units, len(self._parts["validation"]), len(self._parts["test"]) or self.holding.tested

    @property
    def recordings(self) -> int:
        """How many there are to train on."""
        return len(self._train)

    def speakers(self) -> tuple[int, int]:
        """Speakers to train on, and to validate on."""
        train, validation = ({r.utterance.speaker for r in self._parts[part]} for part in ("train", "validation"))
        return self._places.speakers if self._places else len(train), len(validation)

    def class_counts(self) -> list[int]:
        """How many training recordings each class has, in the order of the classes."""
        own = [recording.utterance.emotion for recording in self._train]
        return [own.count(name) for name in self.classes]

    def missing(self) -> list[str]:
        """The classes that no training recording has."""
        return [name for name in self.classes if all(r.utterance.emotion != name for r in self._train)]

    def sums(self) -> Sums:
        """Of the training recordings' features: what the server needs for the scaling."""
        return sums_of(self._train, self.config)

    def pass_round(self, number: int) -> tuple[str, int]:
        """What a round trains on, and which round of its pass it is.

        Rounds beyond the run's are those of its refit: the round is chosen, nobody need be held out for it any more.

        Raises:
            FedserError: the run has no such round, whatever the server asks for.
        """
        config = self.config
        if not 0 < number <= config.most_rounds:
            raise FedserError(
                f"site {self.name}: asked for round {number} of {config.most_rounds}; nothing was trained"
            )
        return config.federation.pass_round(number)

    def dataset(self, part: str, scaling: Scaling | None) -> SpeechDataset:
        """As ``SiteDatasets.dataset``."""
        return self._ready.dataset(part, scaling)

    def lone_validation(self, scaling: Scaling | None) -> SpeechDataset:
        """As ``SiteDatasets.lone_validation``."""
        return self._ready.lone_validation(scaling)

    def score_held_out(self, model: EmotionModel, scaling: Scaling | None) -> StrangerScores:
        """As ``SiteDatasets.score_held_out``."""
        return self._ready.score_held_out(model, scaling)

    @cached_property
    def _ready(self) -> SiteDatasets:
        return SiteDatasets(self.config, self.holding, self.features, self.model.statistics)


_open: dict[tuple[str, int], Site] = {}


def open_site(run_config: Mapping[str, object], node_config: Mapping[str, object]) -> Site:
    """Return the site that a node is, loaded at the first message: in a simulation one of the plan's, else its own."""
    if PARTITION not in node_config:
        from client.deployed import open_deployed

        return open_deployed(run_config, node_config)
    key = (str(run_config[PLAN]), int(str(node_config[PARTITION])))
    if key not in _open:
        if any(plan != key[0] for plan, _ in _open):
            _open.clear()  # another fold: a process that runs many would hold all their data
        _open[key] = _open_simulated(run_config, *key)
    return _open[key]


def put_site(run_config: Mapping[str, object], node_config: Mapping[str, object], site: Site) -> None:
    """Put a site in place of the one that a node of a simulation is, for audits: it holds what it should not."""
    _open[str(run_config[PLAN]), int(str(node_config[PARTITION]))] = site


def close_sites() -> None:
    """Let go of all sites that this process has opened: another run may have the same folder."""
    _open.clear()


def _open_simulated(run_config: Mapping[str, object], path: str, partition: int) -> Site:
    """Load the plan's ``partition``-th site."""
    config, plan = parse_run_config(run_config), plans.read(Path(path))
    split = plan.sites[partition]
    cache = FeatureCache(Path(str(run_config[CACHE])) if run_config.get(CACHE) else default_directory())
    places = _places(config, plan, split, cache) if config.privacy.at_sites else None
    others = {*split.validation, *split.test}
    recordings = recordings_of(config, plan, others if places else {*split.train, *others}, cache)
    taught = _taught(config, plan, {*split.train, *split.validation}, cache) if config.training.teacher else {}
    holding = Holding(
        name=split.name,
        classes=plan.classes,
        train=places.recordings if places else of_speakers(recordings, split.train),
        validation=of_speakers(recordings, split.validation),
        test=of_speakers(recordings, split.test),
        ledger=Path(str(run_config[LEDGER])),
        state=Path(str(run_config[OUT])) / STATE,
        places=places,
        targets=taught,
    )
    return Site(config, holding)


def _taught(config: Config, plan: Plan, speakers: Collection[str], cache: FeatureCache) -> Targets:
    """The teacher's answers for some speakers' recordings, which it hears with its own features."""
    path = Path(config.training.teacher)
    teacher = saved_model.load(path, "--teacher")
    teacher = saved_model.with_encoder(teacher, encoder_of(teacher.config, path))
    own = recordings_of(replace(config, features=teacher.config.features), plan, speakers, cache)
    return soft_targets(teacher, own, config.training.teacher_temperature)


def _places(config: Config, plan: Plan, split: SiteSplit, cache: FeatureCache) -> Places:
    def each(utterances: Sequence[Utterance]) -> Sequence[Found]:
        return each_of(config, utterances, cache)

    return take_places(config.privacy.protects, listed_of(config, plan, split.train), each, config.features)
