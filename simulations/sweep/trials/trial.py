"""The trials of a sweep: every combination of condition, strategy, sites, fold and seed, and where each is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.config.settings import Config
from common.curation.selection import Selection
from common.data.extraction import Skipped
from common.errors import UsageError
from common.privacy.sharing import shared_among
from common.splits.plan import Plan
from common.splits.sites import MIN_SPEAKERS_FOR_VALIDATION
from simulations.engine.output import slug
from simulations.engine.planning import plans
from simulations.engine.promises import refuse_large_delta, refuse_unkept
from simulations.sweep.trials.conditions import Condition, config_of, own_settings, shared


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is asked for.

    Attributes:
        given: settings that the user chose, by flat name.
        encoded: the same for conditions that have an encoder of their own in front, ``given`` is then without it.
        conditions: how private.
        strategies: of the federation.
        sites: how the speakers are dealt, as ``--sites`` takes it.
        seeds: fix all that is drawn at random, but for the privacy mechanisms' noise.
        baselines: also train the pooled model and each site alone.
        shadows: attack the trials of one fold, with so many shadow models for each question; 0 not to.
        tune: try so many candidates of settings for each trial; 0 not to.
        validation: who chooses among them, as ``--validation`` takes it.
    """

    given: Mapping[str, Any]
    conditions: Sequence[Condition]
    strategies: Sequence[str]
    sites: Sequence[str]
    seeds: Sequence[int]
    baselines: bool = True
    shadows: int = 0
    tune: int = 0
    validation: str = "none"
    encoded: Mapping[str, Any] = field(default_factory=dict)

    @property
    def common(self) -> dict[str, Any]:
        """The settings that all conditions share, but for those that have an encoder of their own."""
        values = shared(self.given, [condition for condition in self.conditions if not condition.encoded])
        return self._trained_on | values | ({"data.validation": "none"} if self.tune else {})

    @property
    def _trained_on(self) -> dict[str, Any]:
        """Who trains, the same under every condition: a private run sets nobody aside."""
        private = any(condition.unit for condition in self.conditions)
        return {"data.validation": "none"} if self.tune or private else {}

    def config(self, condition: Condition, strategy: str, sites: str, seed: int) -> Config:
        """All settings of a trial.

        Raises:
            UsageError: they don't go together.
        """
        own = {"federation.strategy": strategy, "data.sites": sites, "seed": seed}
        if condition.encoded:
            return Config().with_values(own_settings(condition, {**self._trained_on, **self.encoded, **own}))
        return config_of(condition, {**self.given, **own}, {**self.common, **own})


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One federation of a sweep.

    Attributes:
        condition: how private it is.
        strategy: of the federation.
        sites: as ``--sites`` takes it.
        seed: of all that is drawn at random.
        plan: of the fold.
        config: all settings.
        tried: the candidates of its settings, each with its ``uar`` on validation speakers; empty without ``--tune``.
    """

    condition: Condition
    strategy: str
    sites: str
    seed: int
    plan: Plan
    config: Config
    tried: Sequence[Mapping[str, Any]] = ()

    @property
    def name(self) -> str:
        """Its name in ``results.jsonl``; no other trial of the sweep has it."""
        return "/".join(
            (self.condition.name, self.strategy, f"sites:{self.sites}", self.plan.fold, f"seed:{self.seed}")
        )

    @property
    def place(self) -> str:
        """The name of its folder."""
        return _folder(self.condition.name, self.strategy, f"sites:{self.sites}", self.plan.fold, f"seed:{self.seed}")

    @property
    def baseline_place(self) -> str:
        """The name of the folder of its baselines, which the strategies share.

        Not where settings were chosen: a baseline has those of its trial, and each strategy's trial chose its own.
        """
        own = (self.strategy,) if self.tried else ()
        return _folder(self.condition.name, *own, f"sites:{self.sites}", self.plan.fold, f"seed:{self.seed}")


def _folder(*names: str) -> str:
    return "+".join(map(slug, names))


def trials(sweep: Sweep, selection: Selection, skipped: Sequence[Skipped]) -> list[Trial]:
    """All trials: fold by fold, so that the conditions of a fold can soon be compared.

    Args:
        sweep: what is asked for.
        selection: the corpus, and what was chosen of it.
        skipped: recordings that cannot be used.

    Raises:
        UsageError: settings that don't go together, a δ that is too large for a site, or a fold without anybody to
            choose settings on.
        SplitError: these speakers cannot be split in this way.
    """
    found = []
    for seed in sweep.seeds:
        for sites in sweep.sites:
            config = sweep.config(sweep.conditions[0], sweep.strategies[0], sites, seed)
            if sweep.tune:
                config = config.with_values({"data.validation": sweep.validation})
            dealt = plans(config, selection, skipped)
            if sweep.tune:
                _refuse_unvalidated(dealt, sites)
            own: list[list[Plan]] = []
            for condition in sweep.conditions:
                private = sweep.config(condition, sweep.strategies[0], sites, seed)
                refuse_unkept(private)
                own.append(plans(dataclasses.replace(config, privacy=private.privacy), selection, skipped))
                pooled = sweep.baselines and not (private.privacy.at_server or private.privacy.shared)
                refuse_large_delta(private, own[-1], selection, pooled=pooled)
            found += [trial for fold in zip(*own, strict=True) for trial in _of_fold(sweep, sites, seed, fold)]
    return found


def _refuse_unvalidated(dealt: Sequence[Plan], sites: str) -> None:
    """A site sets nobody aside below so many speakers, whatever ``--validation`` says."""
    for plan in dealt:
        if not plan.validation_speakers:
            raise UsageError(
                f"--tune chooses settings on validation speakers, and fold {plan.fold} with --sites {sites} has none: "
                f"a site sets somebody aside where it has {MIN_SPEAKERS_FOR_VALIDATION} speakers or more, here the "
                f"largest has {max(len(site.train) for site in plan.sites)}; give fewer --sites, or leave --tune out"
            )


def _of_fold(sweep: Sweep, sites: str, seed: int, fold: Sequence[Plan]) -> list[Trial]:
    """The trials of one fold, of which each condition has a plan: what can't be used keeps its place where it hides."""
    return [
        Trial(
            condition=condition,
            strategy=strategy,
            sites=sites,
            seed=seed,
            plan=plan,
            config=shared_among(sweep.config(condition, strategy, sites, seed), len(plan.sites)),
        )
        for condition, plan in zip(sweep.conditions, fold, strict=True)
        for strategy in sweep.strategies
    ]


def folder_of(out: Path, trial: Trial) -> Path:
    """A trial's folder, which is laid out as a run of ``fedser simulate``: ``fedser audit`` takes it."""
    return out / "trials" / trial.place


def fold_of(out: Path, trial: Trial) -> Path:
    """The folder of a trial's only fold."""
    return folder_of(out, trial) / "folds" / slug(trial.plan.fold)
