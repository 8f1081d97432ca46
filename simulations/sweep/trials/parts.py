"""The parts that a sweep's work is cut into: each is one training on one thread, and leaves its result in a folder.

A part that has its result is not done again, one that was begun goes on from its last round: a killed sweep loses at
most a round of each worker.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common.config.settings import Config, flatten
from common.features.cache import FeatureCache
from common.splits.plan import Plan
from common.storage import atomic
from server.records.fold_record import FoldRecord
from simulations.engine.baselines import POOLED, baseline_plans
from simulations.engine.fold import finished, read_result, run_in_process
from simulations.engine.output import RUN_SETTINGS, slug
from simulations.sweep.trials.trial import Trial, fold_of, folder_of


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of work.

    Attributes:
        name: no other part of the sweep has it.
        work: does it; goes to another process, or another machine.
        after: the names of the parts that must be done before.
        trials: the names of the trials that wait for it.
    """

    name: str
    work: Callable[[], object]
    after: frozenset[str] = frozenset()
    trials: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Training:
    """One federation to run, in its folder, with its own ledger."""

    config: Config
    plan: Plan
    folder: Path
    ledger: Path

    @property
    def finished(self) -> bool:
        """Whether it has its result."""
        return finished(self.folder)

    def result(self) -> FoldRecord:
        """What it left."""
        return read_result(self.folder)


def federated(out: Path, trial: Trial) -> Training:
    """A trial's own training; its ledgers lie where ``fedser audit`` looks for them."""
    ledger = folder_of(out, trial) / "ledger" / slug(trial.plan.fold)
    return Training(config=trial.config, plan=trial.plan, folder=fold_of(out, trial), ledger=ledger)


def baselines(out: Path, trial: Trial) -> dict[str, Training]:
    """The trainings of a trial's pooled model and of each site alone, by name; none where the unit is the site.

    A federation of one site can't hide that site; nor where noise is shared: it has nobody to share it with.
    """
    if trial.config.privacy.at_server or trial.config.privacy.shared:
        return {}
    config = trial.config.with_values(
        {"federation.strategy": "fedavg", "federation.fraction": 1.0, "federation.min_sites": 1}
    )
    folder = out / "baselines" / trial.baseline_place
    return {
        name: Training(config=config, plan=plan, folder=folder / slug(name), ledger=folder / slug(name) / "ledger")
        for name, plan in baseline_plans(trial.plan).items()
    }


def run(training: Training, cache: FeatureCache) -> None:
    """Run a training, or what is left of it."""
    if training.finished:
        return
    run_in_process(
        training.config,
        training.plan,
        training.folder,
        training.folder / "events.jsonl",
        cache,
        workers=0,
        ledger=training.ledger,
    )
    (training.folder / "checkpoint.safetensors").unlink(missing_ok=True)  # of no use any more, and large


def lay_out(out: Path, trial: Trial, command: str) -> None:
    """Make a trial's folder one that ``fedser audit`` takes for a run's."""
    own = dict(zip(RUN_SETTINGS, ("inprocess", False, command, None), strict=True))
    text = json.dumps({**flatten(trial.config), **own}, indent=1)
    path = folder_of(out, trial) / "run.json"
    if not path.exists():
        atomic.write(path, text)


def parts_of(out: Path, trial: Trial, cache: FeatureCache, *, with_baselines: bool) -> list[Part]:
    """What must be done for a trial: its federation, then its baselines, of which other trials may have some too."""
    wanted = {f"federated {trial.name}": federated(out, trial)}
    if with_baselines:
        wanted |= {f"{name} {trial.baseline_place}": training for name, training in baselines(out, trial).items()}
    waiting = frozenset((trial.name,))
    return [Part(name=name, work=partial(run, own, cache), trials=waiting) for name, own in wanted.items()]


__all__ = ["POOLED", "Part", "Training", "baselines", "federated", "lay_out", "parts_of", "run"]
