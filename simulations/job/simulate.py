"""The main job on one machine: recordings -> features -> federated rounds -> held-out score -> result and report."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from common.config.settings import Config
from common.curation.selection import Selection
from common.data.extraction import Skipped
from common.data.preparation import prepare
from common.data.resident import held_of, listing
from common.escaping import escaped
from common.features.cache import FeatureCache, default_directory
from common.processes.warm_up import warm_up
from common.progress import Display
from common.splits.plan import Plan
from server.records.fold_record import FoldRecord
from server.records.starting_model import keep_initial, warn_of_heard
from server.reporting import result
from server.reporting.artifacts import draw, keep
from server.reporting.result import FoldResult
from server.reporting.run_record import CorpusRecord, Result, SkippedRecording, Split, Timing
from server.run import events
from simulations.engine.all_models import held
from simulations.engine.baselines import train_baselines
from simulations.engine.flower_simulation import run_under_flower
from simulations.engine.fold import run_in_process
from simulations.engine.ledger_people import people_of, settle_people
from simulations.engine.output import settle_recordings, slug
from simulations.engine.planning import plans
from simulations.engine.promises import refuse_large_delta, refuse_unkept


@dataclass(frozen=True, kw_only=True)
class Job:
    """A simulation to run.

    Attributes:
        config: all that decides its numbers.
        out: its folder, opened by ``simulations.engine.output``.
        engine: ``inprocess`` or ``flower``.
        workers: processes.
        baselines: also train the pooled model and each site alone.
        personal: also make each site's own model, of a run that keeps a fifth of its recordings out.
        command: that asked for it, for the report.
        ledger: the folder of the sites' ledgers; one a fold in ``out/ledger`` by default.
    """

    config: Config
    out: Path
    engine: str
    workers: int
    baselines: bool
    command: str
    ledger: Path | None = None
    personal: bool = False


def simulate(job: Job, display: Display) -> Result:
    """Run a job, or what is left of it, and write all that it leaves.

    Raises:
        UsageError, FedserError: as ``train_job``.
    """
    whole = train_job(job, display)
    draw(whole, job.out)
    return whole


def train_job(job: Job, display: Display) -> Result:
    """Run a job, or what is left of it, and write its result and its model; nothing is drawn.

    Raises:
        UsageError: as ``simulations.engine.promises.refuse_unkept``, before any work.
        FedserError: a mistake in the settings, a corpus that cannot be used, a federation that cannot go on.
    """
    refuse_unkept(job.config, baselines=job.baselines)
    asked, job = job.config, dataclasses.replace(job, config=keep_initial(job.config, job.out))
    torch.set_num_threads(1)
    began = time.perf_counter()
    warm_up()
    cache = FeatureCache(default_directory())
    selection = listing(job.config.data)
    apart = job.config.privacy.on
    skipped = prepare(job.config, selection, cache, display, workers=job.workers, apart=apart)
    settle_recordings(job.out, held_of(job.config))
    features_s = time.perf_counter() - began
    planned = plans(job.config, selection, skipped, personal=job.personal)
    for plan in planned:
        warn_of_heard(job.config, plan)
    refuse_large_delta(job.config, planned, selection, pooled=job.baselines)
    begun = (job.out / "folds").exists()  # then a ledger holds steps of this run's, which was not refused
    refuse_overspent(job, planned, selection, begun=begun)
    if job.ledger and job.config.privacy.on:
        settle_people(job.ledger, planned)
    skipped = _told(skipped, planned)
    folds = [(plan, job.out / "folds" / slug(plan.fold)) for plan in planned]
    trained = time.perf_counter()
    done = [(plan, folder, _run_fold(job, plan, folder, cache, display)) for plan, folder in folds]
    results = [FoldResult(federated=federated) for _, _, federated in done]
    if job.baselines:
        step = display.step("baselines", sum(1 + len(plan.sites) for plan, _ in folds))
        results = train_baselines(job.config, done, cache, workers=job.workers, on_done=lambda n, _: step.update(n))
    if job.personal:
        results = [_with_personal(job, own, *where, cache, display) for own, where in zip(results, folds, strict=True)]
    training_s = time.perf_counter() - trained
    total_s = time.perf_counter() - began
    timing = {"features_s": features_s, "training_s": training_s, "total_s": total_s}
    timing["overhead_s"] = total_s - features_s - training_s
    whole = result.build(
        asked,
        _about(selection, skipped),
        results,
        Timing.from_json(timing),
        job.command,
        split=[_split(plan) for plan, _ in folds],
        problems=[SkippedRecording(path=escaped(item.name), kind=item.kind, detail=item.detail) for item in skipped],
        models=held(job.out, selection.utterances) if job.config.privacy.on else None,
    )
    keep(whole, job.out, folds[0][1] / "model.safetensors")  # the model is the first fold's
    return whole.at(job.out)


def refuse_overspent(job: Job, planned: Sequence[Plan], selection: Selection, *, begun: bool) -> None:
    """Refuse, before the first fold, a private run that its budget or its ledgers can't account for.

    Args:
        job: the run.
        planned: its folds.
        selection: the corpus, and what was chosen of it.
        begun: whether it goes on, and was not refused before.

    Raises:
        UsageError: as ``simulations.engine.planned_budget`` and ``simulations.engine.ledger_people`` say.
    """
    if not job.config.privacy.on:
        return
    from simulations.engine.planned_budget import refuse_passed_budget  # opacus: a second to import

    if job.ledger:
        people_of(job.ledger, planned, baselines=job.baselines)
    if not (job.ledger and begun):
        refuse_passed_budget(job.config, planned, selection.utterances, baselines=job.baselines, ledger=job.ledger)


def _run_fold(job: Job, plan: Plan, folder: Path, cache: FeatureCache, display: Display) -> FoldRecord:
    path = job.out / "events.jsonl"
    total = job.config.federation.rounds
    step = display.step(plan.fold, total)

    seen, done, score = -1, 0, ""

    def on_reply(site: str) -> None:
        nonlocal seen, done, score, total
        size = path.stat().st_size if path.exists() else 0
        if size != seen:  # a round has ended
            seen = size
            own = [event for event in events.read(path) if event["fold"] == plan.fold]
            done, total = len(own), events.rounds_in_all(own, job.config)
            validation = own[-1]["validation"] if own else None
            score = f", validation UAR {validation['uar']:.3f}" if validation else ""
        step.update(done, f"{site}{score}", total)

    run = run_in_process if job.engine == "inprocess" else run_under_flower
    ledger = job.ledger or job.out / "ledger" / slug(plan.fold)
    federated = run(job.config, plan, folder, path, cache, workers=job.workers, on_reply=on_reply, ledger=ledger)
    ended = len(federated.all_rounds)
    step.update(ended, f"held-out UAR {federated.scored.uar:.3f}", ended)
    return federated


def _with_personal(
    job: Job, done: FoldResult, plan: Plan, folder: Path, cache: FeatureCache, display: Display
) -> FoldResult:
    """A fold with its sites' own models, which are scored and not kept."""
    from simulations.engine.personal_models import personal_models

    step = display.step("personal models", len(plan.sites))
    made = personal_models(
        job.config, plan, folder, cache, workers=job.workers, on_done=lambda n, site: step.update(n, site)
    )
    return dataclasses.replace(done, personal=made)


def _told(skipped: Sequence[Skipped], planned: Sequence[Plan]) -> list[Skipped]:
    """Of what cannot be used what the result names: of a private run's training recordings it says nothing."""
    left_out = {name for plan in planned for name in {*plan.skipped} - {*plan.kept_out}}
    return [item for item in skipped if item.name in left_out]


def _about(selection: Selection, skipped: Sequence[Skipped]) -> CorpusRecord:
    broken = {item.name for item in skipped}
    usable = [u for u in selection.utterances if u.name not in broken]
    return CorpusRecord(
        name=selection.corpus,
        synthetic=selection.synthetic,
        utterances=len(usable),
        skipped=len(skipped),
        speakers=len({u.speaker for u in usable}),
        classes=tuple(selection.classes),
    )


def _split(plan: Plan) -> Split:
    return Split(
        fold=plan.fold,
        sites={site.name: site.train for site in plan.sites},
        validation={site.name: site.validation for site in plan.sites},
        test=tuple(plan.test_speakers),
    )
