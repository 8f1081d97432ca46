"""What one site holds: its training, validation and held-out speakers' recordings, as datasets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from common.config.run_config import parse_run_config
from common.config.settings import Config
from common.curation.problems import usual_width
from common.data.crops import Crops
from common.data.dataset import SpeechDataset
from common.data.extraction import Found, Recording
from common.data.heard import CHOSEN_AFTER, RunningDataset, scaled_after, sums_of
from common.data.normalise import Scaling, Sums, normalised, refuse_single_frames
from common.data.places import Places, take_places
from common.data.resident import each_of, listed_of, of_speakers, recordings_of
from common.data.strangers import conditions, normalise_known
from common.data.unit_alone import prepare_alone
from common.errors import FedserError, UsageError
from common.features.cache import FeatureCache, default_directory
from common.features.extractor import dimension
from common.learning.architectures import build_model
from common.learning.model import EmotionModel
from common.learning.stranger_scores import StrangerScores, score_strangers
from common.privacy.recipe import refuse_leaks
from common.protocol import CACHE, LEDGER, OUT, PARTITION, PLAN, STATE
from common.splits import plan as plans
from common.splits.plan import Plan, refuse_shared
from common.splits.sites import SiteSplit
from common.utterance import Utterance


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What a site holds in one run.

    Attributes:
        name: the site's.
        classes: the run's, in the order that numbers them.
        train: recordings to train on.
        validation: recordings that only choose the round.
        test: held-out recordings.
        ledger: the folder of its ledger.
        state: the folder of what it keeps for a strategy from round to round.
        labels: a digest of how its labels become classes.
        max_epsilon: that a run may come to here.
        budget_unit: whom its policy's budget is for; empty where the policy names no unit.
        report_epsilon: whether the server is told what the site spent.
        deployed: whether it is a site of its own, and not one of a simulation on one machine: then the server is told
            in every round too what was spent, for those who watch, and less of held-out speakers.
        one_by_one: whether held-out speakers are counted one by one.
        places: of the units of a private run that hides some of a site's; ``train`` are their recordings, of which
            those that can't be used have no version.
        tested: how many recordings are listed as held out, where none of them is looked at.
    """

    name: str
    classes: tuple[str, ...]
    train: list[Recording]
    validation: list[Recording]
    test: list[Recording]
    ledger: Path
    state: Path
    labels: str = ""
    max_epsilon: float = math.inf
    budget_unit: str = ""
    report_epsilon: bool = True
    deployed: bool = False
    one_by_one: bool = True
    places: Places | None = None
    tested: int = 0


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
        self._datasets: dict[str, SpeechDataset] = {}

    @cached_property
    def model(self) -> EmotionModel:
        """One model for all messages: each overwrites its weights."""
        config = self.config
        model = build_model(self.features, len(self.classes), config, precomputed=self._precomputed)
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
        """The normalised ``train``, ``validation`` or ``test`` recordings; ``all`` are the first two.

        Where the site adds noise, each unit of ``train`` is made ready alone, and the site refuses none for what it
        holds: of one that cannot be used the place is left.

        Raises:
            UsageError: the scaling is missing, or nothing is left of any recording.
            FedserError: the scaling is of another width.
        """
        if part not in self._datasets:
            self._check_scaling(scaling)
            if self._running and scaling is not None:
                self._datasets[part] = self._adapting(part, scaling)
            elif part == "all":
                self._datasets[part] = self.dataset("train", scaling).joined(self.dataset("validation", scaling))
            elif part == "train" and self.config.privacy.at_sites:
                self._datasets[part] = SpeechDataset(self._ready_alone(scaling), self.classes)
            else:
                self._datasets[part] = self._known(part, scaling)
        return self._datasets[part]

    def score_held_out(self, model: EmotionModel, scaling: Scaling | None) -> StrangerScores:
        """What a model takes the held-out recordings for: as of strangers, and with all of their speakers known.

        Raises:
            UsageError: the scaling is missing, or nothing is left of any recording.
            FedserError: the scaling is of another width.
        """
        self._check_scaling(scaling)
        self._refuse_single_frames("test")
        held_out = conditions(self._parts["test"], self.config, scaling)
        return score_strangers(model, held_out, lambda ready: SpeechDataset(self._summarised(ready), self.classes))

    @property
    def _running(self) -> bool:
        return self.config.data.normalise == "running"

    def _adapting(self, part: str, scaling: Scaling) -> SpeechDataset:
        """Of a run whose model adapts to a speaker; the round is chosen after as few others as a stranger's may be."""
        if part == "validation":
            chosen_after = scaled_after(
                self._parts[part], scaling, self.config.features, CHOSEN_AFTER, seed=self.config.seed
            )
            return SpeechDataset(chosen_after, self.classes)
        self._refuse_single_frames("train")
        beside = self._parts["validation"] if part == "all" else []
        crops = Crops.of(self.config)
        return RunningDataset([*self._train, *beside], self.classes, scaling, self.config.features, crops)

    def _known(self, part: str, scaling: Scaling | None) -> SpeechDataset:
        self._refuse_single_frames(part)
        ready = normalise_known(self._parts[part], self.config, scaling)
        return SpeechDataset(self._summarised(ready), self.classes, Crops.of(self.config))

    def _refuse_single_frames(self, part: str) -> None:
        refuse_single_frames(self._parts[part], self.config.data.normalise, self.config.model.statistics)

    def _ready_alone(self, scaling: Scaling | None) -> list[Recording]:
        mode, unit = self.config.data.normalise, self.config.privacy.protects
        return prepare_alone(
            self._train,
            unit,
            self.classes,
            self.features,
            lambda own: self._summarised(normalised(own, mode, scaling)),
        )

    def _check_scaling(self, scaling: Scaling | None) -> None:
        """By the message alone, before anything is made of a recording."""
        if self.config.data.normalise not in ("running", "global", "public"):
            return
        if scaling is None:
            raise UsageError(f"normalise={self.config.data.normalise} needs a scaling, and the server sent none")
        if any(tuple(own.shape) != (self.features,) for own in (scaling.mean, scaling.deviation)):
            raise FedserError(f"site {self.name}: the server's scaling is not of {self.features} features")

    def _summarised(self, recordings: list[Recording]) -> list[Recording]:
        """What the model sees of recordings: their frames, or, where that is all, their statistics."""
        if not self._precomputed or self.model.statistics is None:
            return recordings
        of = self.model.statistics.of
        return [replace(recording, versions=tuple(map(of, recording.versions))) for recording in recordings]

    @property
    def _precomputed(self) -> bool:
        """Whether the model sees nothing of a recording but figures that are the same in every epoch."""
        augment = self.config.augment
        anew = augment.time_masks or augment.feature_masks or augment.crop
        return self.config.model.architecture.figures_alone and not anew and not self._running


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
    holding = Holding(
        name=split.name,
        classes=plan.classes,
        train=places.recordings if places else of_speakers(recordings, split.train),
        validation=of_speakers(recordings, split.validation),
        test=of_speakers(recordings, split.test),
        ledger=Path(str(run_config[LEDGER])),
        state=Path(str(run_config[OUT])) / STATE,
        places=places,
    )
    return Site(config, holding)


def _places(config: Config, plan: Plan, split: SiteSplit, cache: FeatureCache) -> Places:
    def each(utterances: Sequence[Utterance]) -> Sequence[Found]:
        return each_of(config, utterances, cache)

    return take_places(config.privacy.protects, listed_of(config, plan, split.train), each, config.features)
