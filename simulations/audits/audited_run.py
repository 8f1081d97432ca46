"""The run that is attacked: its settings, one of its folds, its ledgers, its models, its recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from common.config.settings import Config
from common.data.extraction import Recording, extract_all
from common.data.heard import scaling_of, sums_of
from common.data.normalise import Scaling
from common.data.resident import keep, listing, of_speakers, recordings_of
from common.data.strangers import normalise_known
from common.errors import UsageError
from common.features.cache import FeatureCache, default_directory
from common.learning import saved_model
from common.learning.saved_model import SavedModel
from common.models.architectures import build_model
from common.models.model import EmotionModel
from common.progress import Display
from common.seeds import seed_of
from common.splits import plan as plans
from common.splits.plan import Plan
from common.utterance import Utterance
from server.records.starting_model import kept, load_initial
from server.reporting.findings import largest_epsilon
from server.reporting.formatting import natural
from server.run import events
from simulations.engine.fold import finished, read_result
from simulations.engine.output import PERSONAL, RUN_SETTINGS, read_run_settings, slug


@dataclass(frozen=True, kw_only=True)
class AuditedRun:
    """One fold of a run of ``fedser simulate``.

    Attributes:
        path: the run's folder.
        config: its settings.
        plan: the fold's.
        ledger: the folder of the fold's ledgers.
        shared_ledger: other folds write into it too.
    """

    path: Path
    config: Config
    plan: Plan
    ledger: Path
    shared_ledger: bool

    @property
    def folder(self) -> Path:
        """The fold's."""
        return self.path / "folds" / slug(self.plan.fold)

    @cached_property
    def cache(self) -> FeatureCache:
        """Of features."""
        return FeatureCache(default_directory())

    @property
    def privacy(self) -> dict[str, Any] | None:
        """What the run claims, JSON-ready: ``unit``, ``delta``, ``insecure_seed`` and ``epsilon``, the largest of its
        sites', null where the fold is not finished; None for a run that is not private.
        """
        privacy = self.config.privacy
        if not privacy.on:
            return None
        account = read_result(self.folder).privacy if finished(self.folder) else None
        epsilon = (largest_epsilon(account) if account else None) or math.inf
        return {
            "unit": privacy.unit,
            "delta": privacy.delta,
            "insecure_seed": privacy.insecure_seed,
            "epsilon": epsilon if epsilon < math.inf else None,
        }

    @cached_property
    def start(self) -> SavedModel | None:
        """The model that the run started from, if one was named."""
        return load_initial(self.config, self.plan.classes)

    def utterances(self) -> list[Utterance]:
        """All that the fold uses, in the corpus's order."""
        plan, skipped = self.plan, set(self.plan.skipped)
        speakers = {*plan.train_speakers, *plan.validation_speakers, *plan.test_speakers}
        return [u for u in listing(self.config.data).utterances if u.speaker in speakers and u.name not in skipped]

    def recordings(self, workers: int, display: Display) -> list[Recording]:
        """Those of ``utterances`` with their features, kept in memory for the processes that are forked later.

        Raises:
            FedserError: one was usable when the run was planned, and is not any more.
        """
        utterances = self.utterances()
        config, step = self.config, display.step("features", len(utterances))
        found, _ = extract_all(
            utterances,
            config.features,
            config.augment,
            self.cache,
            workers=workers,
            progress=step.update,
            seconds=config.privacy.longest,
        )
        keep(config, found)
        return recordings_of(config, self.plan, {u.speaker for u in utterances}, self.cache)

    def scaling(self, recordings: Sequence[Recording]) -> Scaling:
        """What the server sends beside the model: of public data, or of the training speakers.

        Args:
            recordings: all of ``recordings``.
        """
        if self.config.data.normalise == "public" or self.config.features.encoder.components:
            return saved_model.load(Path(self.config.data.public)).scaling
        if self.start and not self.config.privacy.on:
            return self.start.scaling
        return scaling_of(sums_of(of_speakers(recordings, self.plan.train_speakers), self.config), self.config)

    def normalised(self, recordings: Sequence[Recording]) -> list[Recording]:
        """Recordings as the fold's sites normalise them.

        Args:
            recordings: all of ``recordings``, for a speaker's are scaled together.
        """
        return normalise_known(recordings, self.config, self.scaling(recordings))

    def initial_model(self, features: int) -> EmotionModel:
        """The global model before round 1, as ``server.app`` makes it."""
        if self.start:
            return self.start.model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.config.seed, "model"))
            return build_model(features, len(self.plan.classes), self.config)

    def final_model(self) -> SavedModel:
        """The model that the fold ended with.

        Raises:
            UsageError: it has not ended.
        """
        if not finished(self.folder):
            raise UsageError(
                f"fold {self.plan.fold} of {self.path} is not finished; go on with fedser simulate --resume {self.path}"
            )
        return saved_model.load(self.folder)


def open_run(path: Path, fold: str | None) -> AuditedRun:
    """One fold of a run that was started.

    Args:
        path: the run's folder.
        fold: its name; None for the first.

    Raises:
        UsageError: there is no such run or fold, or it has a teacher, which knows recordings that a model is to be
            trained without.
    """
    known = open_folds(path)
    if known and known[0].config.training.teacher:
        raise UsageError(f"{path} has a teacher, which an audit would ask as well; audit a run without --teacher")
    for run in known:
        if fold in (None, run.plan.fold):
            return run
    there = ", ".join(run.plan.fold for run in known) or "none yet"
    raise UsageError(f"{path} has no fold {fold or 'that was started'}; it has {there}")


def open_folds(path: Path) -> list[AuditedRun]:
    """All folds of a run that were started, in the order in which they were.

    Args:
        path: the run's folder.

    Raises:
        UsageError: there is no such run.
    """
    try:
        settings = read_run_settings(path)
    except UsageError:
        raise UsageError(f"{path} is no run of fedser simulate; give the folder that its --out named") from None
    ledger = [settings.pop(name) for name in RUN_SETTINGS][RUN_SETTINGS.index("ledger")]
    settings.pop(PERSONAL, None)
    known = _plans(path)
    return [
        AuditedRun(
            path=path,
            config=kept(Config().with_values(settings), path.absolute()),
            plan=plan,
            ledger=Path(ledger) if ledger else path / "ledger" / slug(plan.fold),
            shared_ledger=bool(ledger) and len(known) > 1,
        )
        for plan in known
    ]


def _plans(path: Path) -> list[Plan]:
    """The plans of the folds that were started, in the run's order."""
    known = [plans.read(file) for file in (path / "folds").glob("*/plan.json")]
    ran = list(dict.fromkeys(event["fold"] for event in events.read(path / "events.jsonl")))
    return sorted(known, key=lambda p: (ran.index(p.fold) if p.fold in ran else len(ran), natural(p.fold)))


def refuse_site_unit(run: AuditedRun, attack: str) -> None:
    """Refuse to attack a site's update where only a trusted server ever sees it, or nobody does.

    Raises:
        UsageError: the run protects sites, or its sites share their noise.
    """
    if run.config.privacy.at_server:
        raise UsageError(
            f"audit {attack} attacks the update of one site; with --privacy-unit site only the trusted server sees it, "
            "as it is, and what leaves the server is of all sites: audit a run without privacy, whose updates are alike"
        )
    if run.config.privacy.shared:
        raise UsageError(
            f"audit {attack} attacks the update of one site; with --privacy-noise shared nobody sees it, but a sum of "
            "all sites: audit a run with --privacy-noise site, or audit membership or canaries"
        )
