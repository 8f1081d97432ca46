"""The main job on one machine: recordings -> features -> federated rounds -> held-out score -> result and report."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from common import atomic, corpora
from common.cache import FeatureCache, default_directory
from common.config import Config
from common.errors import CorpusError
from common.extraction import Skipped, extract_all
from common.holdings import keep, listing
from common.normalise import refuse_single_frames
from common.plan import Plan
from common.problems import listing_problems
from common.selection import Selection
from server import events, result
from server.card import write_card
from server.report import write_report
from server.result import FoldResult
from server.scalars import write_scalars
from simulations.baselines import train_baselines
from simulations.federation import FoldJson, run_in_process, warm_up
from simulations.flower import run_under_flower
from simulations.output import slug
from simulations.planning import plans
from simulations.private import refuse_large_delta
from simulations.progress import Display

log = logging.getLogger("fedser.simulate")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A simulation to run.

    Attributes:
        config: all that decides its numbers.
        out: its folder, opened by ``simulations.output``.
        engine: ``inprocess`` or ``flower``.
        workers: processes.
        baselines: also train the pooled model and each site alone.
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


def simulate(job: Job, display: Display) -> dict[str, Any]:
    """Run a job, or what is left of it, and write all that it leaves.

    Returns:
        What ``result.json`` holds.

    Raises:
        FedserError: a mistake in the settings, a corpus that cannot be used, a federation that cannot go on.
    """
    torch.set_num_threads(1)
    began = time.perf_counter()
    warm_up()
    cache = FeatureCache(default_directory())
    selection = listing(job.config.data)
    skipped = _extract(job, selection, cache, display)
    features_s = time.perf_counter() - began
    planned = plans(job.config, selection, skipped)
    refuse_large_delta(job.config, planned, selection, pooled=job.baselines)
    folds = [(plan, job.out / "folds" / slug(plan.fold)) for plan in planned]
    trained = time.perf_counter()
    done = [(plan, folder, _run_fold(job, plan, folder, cache, display)) for plan, folder in folds]
    results = [FoldResult(federated=federated) for _, _, federated in done]
    if job.baselines:
        step = display.step("baselines", sum(1 + len(plan.sites) for plan, _ in folds))
        results = train_baselines(job.config, done, cache, workers=job.workers, on_done=lambda n, _: step.update(n))
    training_s = time.perf_counter() - trained
    total_s = time.perf_counter() - began
    timing = {"features_s": features_s, "training_s": training_s, "total_s": total_s}
    timing["overhead_s"] = total_s - features_s - training_s
    split = [_split(plan) for plan, _ in folds]
    whole = result.build(job.config, _about(selection, skipped), results, split, timing, job.command)
    whole["problems"] = [{"path": item.name, "kind": item.kind, "detail": item.detail} for item in skipped]
    _leave(job, whole, folds[0][1])
    return whole


def _extract(job: Job, selection: Selection, cache: FeatureCache, display: Display) -> list[Skipped]:
    _say_what_is_left_out(job.config, selection)
    step = display.step("features", len(selection.utterances))
    recordings, skipped = extract_all(
        selection.utterances,
        job.config.features,
        job.config.augment,
        cache,
        workers=job.workers,
        progress=step.update,
    )
    for item in skipped:
        log.warning("%s: %s; skipped", item.name, item.detail)
    if skipped and job.config.data.strict:
        raise CorpusError(f"--strict: {len(skipped)} recordings cannot be used, the first is {skipped[0].name}")
    refuse_single_frames(recordings, job.config.data.normalise)
    keep(job.config, recordings)
    return skipped


def _say_what_is_left_out(config: Config, selection: Selection) -> None:
    """Labels that nobody knows and files that the listing passed over, unless the user chose the classes."""
    problems = [] if config.data.classes else list(listing_problems(selection))
    if problems:
        first = problems[0]
        line = f"{len(problems)} recordings are left out, the first is {first.path}: {first.detail}"
        if config.data.strict:
            raise CorpusError(f"--strict: {line}")
        log.warning("%s; fedser corpus check lists them", line)


def _run_fold(job: Job, plan: Plan, folder: Path, cache: FeatureCache, display: Display) -> FoldJson:
    rounds = job.config.federation.rounds
    path = job.out / "events.jsonl"
    step = display.step(plan.fold, rounds)

    seen, done, score = -1, 0, ""

    def on_reply(site: str) -> None:
        nonlocal seen, done, score
        size = path.stat().st_size if path.exists() else 0
        if size != seen:  # a round has ended
            seen = size
            own = [event for event in events.read(path) if event["fold"] == plan.fold]
            done = len(own)
            validation = own[-1]["validation"] if own else None
            score = f", validation UAR {validation['uar']:.3f}" if validation else ""
        step.update(done, f"{site}{score}")

    run = run_in_process if job.engine == "inprocess" else run_under_flower
    ledger = job.ledger or job.out / "ledger" / slug(plan.fold)
    federated = run(job.config, plan, folder, path, cache, workers=job.workers, on_reply=on_reply, ledger=ledger)
    step.update(rounds, f"held-out UAR {federated['test']['uar']:.3f}")
    return federated


def _about(selection: Selection, skipped: Sequence[Skipped]) -> dict[str, Any]:
    broken = {item.name for item in skipped}
    usable = [u for u in selection.utterances if u.name not in broken]
    return {
        "name": selection.corpus,
        "synthetic": selection.synthetic,
        "utterances": len(usable),
        "skipped": len(skipped),
        "speakers": len({u.speaker for u in usable}),
        "classes": list(selection.classes),
    }


def _split(plan: Plan) -> dict[str, Any]:
    return {
        "fold": plan.fold,
        "sites": {site.name: list(site.train) for site in plan.sites},
        "validation": {site.name: list(site.validation) for site in plan.sites},
        "test": plan.test_speakers,
    }


def _leave(job: Job, whole: dict[str, Any], first: Path) -> None:
    """Everything that a run leaves beside its folds; the model is the first fold's."""
    module = corpora.CORPORA[job.config.data.corpus]
    atomic.write(job.out / "result.json", json.dumps(whole, indent=1), durable=True)
    atomic.write(job.out / "model.safetensors", (first / "model.safetensors").read_bytes())
    write_card(whole, job.out / "MODEL_CARD.md", licence=module.LICENCE, citation=module.cite())
    write_report(whole, job.out / "report.html")
    write_scalars(job.out / "tensorboard", whole["folds"])
