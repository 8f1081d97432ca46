"""What a federation is measured against: all recordings at one place, and each site alone.

Each is a federation of one site, so that it has the same recipe, the same number of epochs, the same choice of the
round and the same score.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from common.config.settings import Config
from common.errors import FederationError
from common.features.cache import FeatureCache
from common.processes.pool import processes
from common.splits.plan import Plan
from common.splits.sites import SiteSplit
from server.records.fold_record import FoldRecord
from server.reporting.result import FoldResult
from simulations.engine.fold import run_in_process
from simulations.engine.output import slug
from simulations.engine.promises import refuse_unkept

POOLED = "pooled"
_Job = tuple[Config, Plan, Path, FeatureCache]


def baseline_plans(plan: Plan) -> dict[str, Plan]:
    """The plan of the pooled model, and of each site alone; held-out speakers stay the same."""
    whole = dataclasses.replace(plan, test=tuple(plan.test_speakers), sites=())
    everything = SiteSplit(name=POOLED, train=tuple(plan.train_speakers), validation=tuple(plan.validation_speakers))
    alone = {f"local-{site.name}": dataclasses.replace(site, test=()) for site in plan.sites}
    return {name: dataclasses.replace(whole, sites=(site,)) for name, site in {POOLED: everything, **alone}.items()}


def train_baselines(
    config: Config,
    folds: Sequence[tuple[Plan, Path, FoldRecord]],
    cache: FeatureCache,
    *,
    workers: int,
    on_done: Callable[[int, int], None],
) -> list[FoldResult]:
    """Train all folds' baselines over all cores, the largest first.

    Args:
        config: of the federated run; the strategy, the fraction and the least number of sites don't apply.
        folds: each fold's plan, folder and federated result.
        cache: of features.
        workers: processes.
        on_done: called with the number of baselines done and their total.

    Raises:
        UsageError: as ``simulations.engine.promises.refuse_unkept``.
        FedserError: a federation cannot go on.
    """
    refuse_unkept(config, baselines=True)
    alone = config.with_values({"federation.strategy": "fedavg", "federation.fraction": 1.0, "federation.min_sites": 1})
    jobs = [
        (alone, own, folder / "baselines" / slug(name), cache)
        for plan, folder, _ in folds
        for name, own in baseline_plans(plan).items()
    ]
    jobs.sort(key=lambda job: -len(job[1].train_speakers))
    if workers == 0:
        for done, job in enumerate(jobs, 1):
            _train(job)
            on_done(done, len(jobs))
    else:
        _over_processes(jobs, min(workers, len(jobs)), on_done)
    return [_collect(alone, plan, folder, federated, cache) for plan, folder, federated in folds]


def _over_processes(jobs: Sequence[_Job], workers: int, on_done: Callable[[int, int], None]) -> None:
    killed = FederationError("a process that trained a baseline was killed; go on with --resume")
    with processes(workers, killed) as pool:
        for done, future in enumerate(as_completed([pool.submit(_train, job) for job in jobs]), 1):
            future.result()
            on_done(done, len(jobs))


def _train(job: _Job) -> FoldRecord:
    config, plan, folder, cache = job
    return run_in_process(config, plan, folder, folder / "events.jsonl", cache, workers=0)


def _collect(config: Config, plan: Plan, folder: Path, federated: FoldRecord, cache: FeatureCache) -> FoldResult:
    done = {
        name: _train((config, own, folder / "baselines" / slug(name), cache))
        for name, own in baseline_plans(plan).items()
    }
    local = {site.name: done[f"local-{site.name}"] for site in plan.sites}
    return FoldResult(federated=federated, pooled=done[POOLED], local=local)
