"""The sites' own models of a simulation, made after a fold's run, and what they are worth; none of them is kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from client.personal.comparison import Comparison
from client.personal.own_scores import compare
from client.personal.personal_model import BOTH, make_personal
from client.site import open_site
from common.config.settings import Config
from common.data.extraction import Recording
from common.data.resident import recordings_of
from common.errors import FederationError
from common.features.cache import FeatureCache
from common.learning import saved_model
from common.learning.before_refit import before_refit
from common.processes.pool import processes
from common.protocol import PARTITION
from common.splits.plan import Plan
from common.storage import atomic
from server.records.personal import PersonalScores, PersonalSite
from server.run import checkpoint
from simulations.engine.fold import local_run_config

RESULT = "personal.json"  # in a fold's folder, once all of its sites' are made
Personal = Mapping[str, PersonalSite]
_Job = tuple[Config, Plan, Path, FeatureCache, int]


def personal_models(
    config: Config,
    plan: Plan,
    folder: Path,
    cache: FeatureCache,
    *,
    workers: int,
    on_done: Callable[[int, str], None],
) -> Personal:
    """Make each site's own model of a fold that has ended, and score it; done once, and read again on resuming.

    Args:
        config: of the run.
        plan: of the fold, of a run that has kept some recordings out.
        folder: of the fold.
        cache: of features.
        workers: processes.
        on_done: called with the number of sites done, and the last one's name.

    Raises:
        FedserError: a recording is not usable any more, or a worker was killed.
    """
    path = folder / RESULT
    if path.exists():
        return {site: PersonalSite.from_json(own) for site, own in json.loads(path.read_text(encoding="utf-8")).items()}
    jobs = [(config, plan, folder, cache, number) for number in range(len(plan.sites))]
    made: dict[str, PersonalSite] = {}
    for site, own in zip(plan.sites, _over_processes(jobs, min(workers, len(jobs))), strict=True):
        made[site.name] = own
        on_done(len(made), site.name)
    atomic.write(path, json.dumps({site: own.as_json() for site, own in made.items()}, indent=1))
    return made


def _over_processes(jobs: Sequence[_Job], workers: int) -> Iterator[PersonalSite]:
    if not workers:
        yield from map(_personal, jobs)
        return
    killed = FederationError("a process that made a site's own model was killed; go on with --resume")
    with processes(workers, killed, forked=True) as pool:
        yield from pool.map(_personal, jobs)


def _personal(job: _Job) -> PersonalSite:
    config, plan, folder, cache, number = job
    config = config.with_values({"training.teacher": ""})  # a site knows labels alone
    told = local_run_config(config, folder, folder / "events.jsonl", cache, None)
    site, saved = open_site(told, {PARTITION: number}), saved_model.load(folder / "model.safetensors")
    best = checkpoint.load(folder / "checkpoint.safetensors").best
    own = make_personal(site, saved, before_refit(saved, best) if config.refits and best else None, BOTH)
    return PersonalSite(
        chosen=own.chosen,
        epochs=own.epochs,
        judges=own.told,
        seen=own.seen,
        gain_ci95=own.judged.interval() if own.judged else None,
        validation=_both(own.judged),
        unheard_speakers=_both(compare(site, saved, own, site.holding.test)),
        new_recordings=_both(compare(site, saved, own, _new(config, plan, number, cache), site.holding.train)),
    )


def _new(config: Config, plan: Plan, number: int, cache: FeatureCache) -> list[Recording]:
    """What was kept out of the recordings of a site's training speakers."""
    whole = dataclasses.replace(plan, skipped=tuple({*plan.skipped} - {*plan.kept_out}))
    own, aside = recordings_of(config, whole, plan.sites[number].train, cache), set(plan.kept_out)
    return [recording for recording in own if recording.utterance.name in aside]


def _both(found: Comparison | None) -> dict[str, PersonalScores] | None:
    if found is None:
        return None
    return {name: PersonalScores.from_json(own) for name, own in found.figures().items()}
