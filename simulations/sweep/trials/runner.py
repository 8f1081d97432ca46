"""A sweep from its command to its page: features once, then the trials' parts over the workers, a line a trial."""

from __future__ import annotations

import contextlib
import importlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common.config.settings import Config, flatten
from common.curation.selection import Selection
from common.data.extraction import Skipped
from common.data.resident import listing
from common.errors import FederationError
from common.features.cache import FeatureCache, default_directory
from common.processes.warm_up import warm_up
from common.progress import Display
from server.reporting.result import environment
from simulations.sweep.trials import results
from simulations.sweep.trials.front_ends import PUBLIC, front_ends, prepare_all
from simulations.sweep.trials.parts import Part, lay_out, parts_of
from simulations.sweep.trials.protocols import Preset, deviations
from simulations.sweep.trials.rows import row
from simulations.sweep.trials.schedule import Engine, Waiting, carry_out, joined
from simulations.sweep.trials.trial import Sweep, Trial, trials
from simulations.sweep.trials.trial_attacks import Attack, attacked, kin, least_private, read_findings
from simulations.sweep.trials.trial_attacks import parts_of as attack_parts
from simulations.sweep.trials.tuning import choose_settings, unvalidated
from simulations.sweep.trials.tuning import parts_of as candidate_parts
from simulations.sweep.workers.processes import Processes

log = logging.getLogger("fedser.benchmark")
READABLE = "recordings"  # the one setting that only the reading of all recordings tells


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """A benchmark to run, or to go on with.

    Attributes:
        sweep: which trials.
        out: its folder.
        workers: processes; 0 for none beside this one.
        command: that asked for it, for the page.
        engine: ``process`` or ``ray``.
        address: of a Ray cluster; empty for one on this machine.
        preset: the protocol that it follows.
        reference: the unrestricted figure, as ``simulations.sweep.launch.reference_of`` reads it.
    """

    sweep: Sweep
    out: Path
    workers: int
    command: str
    engine: str = "process"
    address: str = ""
    preset: Preset | None = None
    reference: dict[str, Any] | None = None


def benchmark(job: SweepJob, display: Display) -> None:
    """Run what is left of a benchmark.

    Raises:
        FedserError: a mistake in the settings, a corpus that can't be used, or a trial that failed; all others ran.
    """
    torch.set_num_threads(1)
    began = time.time()
    selection, cache = listing(first_config(job.sweep).data), FeatureCache(default_directory())
    trials(job.sweep, selection, [])  # so that a wrong option shows before any work
    results.ours(job.out)  # before a lock, or anything else, is put into somebody's folder
    with results.lock(job.out):
        results.refuse_others(job.out, {n: v for n, v in settings(job.sweep, selection, []).items() if n != READABLE})
        results.mend(job.out)
        skipped = prepare_all(job.sweep, selection, cache, display, workers=job.workers)
        wanted = trials(job.sweep, selection, skipped)
        about = _about(job, selection, skipped) | {"trials": len(wanted)}
        for warning in [*about["deviations"], (unvalidated(wanted) if job.sweep.tune else None)]:
            if warning:
                log.warning("%s", warning)
        results.agree(job.out, settings(job.sweep, selection, skipped), about)
        _run(job, wanted, selection, cache, began, display)


def first_config(sweep: Sweep) -> Config:
    """The settings of the first trial: the corpus is that of all."""
    return front_ends(sweep)[0]


def settings(sweep: Sweep, selection: Selection, skipped: Sequence[Skipped]) -> dict[str, Any]:
    """All that decides which trials there are, and their numbers, JSON-ready."""
    lists = {
        "conditions": ",".join(condition.name for condition in sweep.conditions),
        "strategies": ",".join(sweep.strategies),
        "sites": ",".join(sweep.sites),
        "seeds": ",".join(map(str, sweep.seeds)),
        "baselines": sweep.baselines,
        "shadows": sweep.shadows,
        "tune": sweep.tune,
        "tuned_on": sweep.validation,
        READABLE: len(selection.utterances) - len(skipped),
    }
    single = ("seed", "federation.strategy", "data.sites")  # told by the lists
    common = {n: v for n, v in flatten(Config().with_values(sweep.common)).items() if n not in single}
    return lists | results.published(common | _encoded(sweep))


def _encoded(sweep: Sweep) -> dict[str, Any]:
    """The encoder of the conditions that have their own, and the model of public data that was named for it."""
    if not sweep.encoded:
        return {}
    own = next(config for config in front_ends(sweep) if config.features.encoder.on)
    told = {name: value for name, value in flatten(own).items() if name.startswith("encoder.")}
    return {**told, "encoder.public": Path(sweep.encoded.get(PUBLIC, "")).name}


def _about(job: SweepJob, selection: Selection, skipped: Sequence[Skipped]) -> dict[str, Any]:
    broken = {item.name for item in skipped}
    usable = [u for u in selection.utterances if u.name not in broken]
    people = {u.speaker: {"gender": u.gender, "language": u.language} for u in usable}
    corpus = {
        "name": selection.corpus,
        "synthetic": selection.synthetic,
        "utterances": len(usable),
        "skipped": len(broken),
        "classes": list(selection.classes),
        "speakers": people,
    }
    return {
        "command": job.command,
        "corpus": corpus,
        "environment": environment(),
        "preset": job.preset.name if job.preset else None,
        "deviations": deviations(job.preset, len(usable), len(people)) if job.preset else [],
        "reference": job.reference,
    }


def _run(
    job: SweepJob,
    wanted: Sequence[Trial],
    selection: Selection,
    cache: FeatureCache,
    began: float,
    display: Display,
) -> None:
    """Carry out the parts of all trials that have no line yet; each gets it as soon as its last part is done."""
    done = {line["trial"] for line in results.read(job.out)}
    left = {trial.name: trial for trial in wanted if trial.name not in done}
    if not left:
        return
    _import_before_the_fork()
    if job.sweep.tune:
        wanted = _tune(job, wanted, cache, display)
        left = {trial.name: trial for trial in wanted if trial.name in left}
    for trial in wanted:  # with the settings that it chose: fedser audit takes them from there
        lay_out(job.out, trial, job.command)
    attacks = {attack.trial.name: attack for attack in _attacks(job, wanted)}
    parts = _parts(job, list(left.values()), attacks, cache)
    waiting, commit = Waiting(parts), environment()["commit"]
    step = display.step("runs", len(parts))
    with engine_of(job) as engine:
        for number, outcome in enumerate(carry_out(parts, engine), 1):
            for name in waiting.end(outcome):
                own = row(
                    job.out,
                    left[name],
                    selection.utterances,
                    with_baselines=job.sweep.baselines,
                    audit=read_findings(attacks[name]) if name in attacks else None,
                    commit=commit,
                )
                own["details"] |= {"session": began, "ended": time.time()}
                results.append(job.out, own)
            step.update(number, f"{len(wanted) - len(waiting) - len(waiting.failed)} of {len(wanted)} trials")
    _tell_failures(waiting, job.out, len(wanted))


def _tune(job: SweepJob, wanted: Sequence[Trial], cache: FeatureCache, display: Display) -> list[Trial]:
    """Train all candidates, and choose each trial's settings on its validation speakers."""
    parts = [part for trial in wanted for part in candidate_parts(job.out, trial, job.sweep.tune, cache)]
    waiting, step = Waiting(parts), display.step("candidates", len(parts))
    with engine_of(job) as engine:
        for number, outcome in enumerate(carry_out(parts, engine), 1):
            waiting.end(outcome)
            step.update(number)
    _tell_failures(waiting, job.out, len(wanted))
    return [choose_settings(job.out, trial, job.sweep.tune) for trial in wanted]


def _tell_failures(waiting: Waiting, out: Path, total: int) -> None:
    for name, error in waiting.failed.items():
        log.error("%s: %s", name, error)
    if waiting.failed:
        raise FederationError(
            f"{len(waiting.failed)} of {total} trials failed, see above; the others are in {out / results.FILE}, "
            "and the same command tries these again"
        )


def _attacks(job: SweepJob, wanted: Sequence[Trial]) -> list[Attack]:
    if not job.sweep.shadows:
        return []
    chosen = attacked(wanted)
    return [
        Attack(out=job.out, trial=trial, shared=least_private(kin(trial, chosen)), shadows=job.sweep.shadows)
        for trial in chosen
    ]


def _parts(job: SweepJob, left: Sequence[Trial], attacks: Mapping[str, Attack], cache: FeatureCache) -> list[Part]:
    """Trial by trial, so that the first are finished soon; the attacks come last."""
    trained = [part for t in left for part in parts_of(job.out, t, cache, with_baselines=job.sweep.baselines)]
    tried = [part for t in left if t.name in attacks for part in attack_parts(attacks[t.name], cache)]
    return joined([*trained, *tried])


def engine_of(job: SweepJob) -> contextlib.AbstractContextManager[Engine]:
    """What carries out a job's parts."""
    if job.engine == "ray":
        from simulations.sweep.workers.ray_engine import RayCluster

        return RayCluster(job.workers, job.address)
    return Processes(job.workers)


def _import_before_the_fork() -> None:
    """Load what training needs, so that each worker finds it loaded: seconds of imports otherwise."""
    warm_up()
    for name in ("server.app", "server.rounds.central_dp", "client.app", "client.private_round"):
        importlib.import_module(name)
