"""What a sweep costs beside its training: the wall time of many trials over the workers against bare training.

Bare training is what the sites say that they trained, in the workers, as ``fedser bench engine`` takes it. What workers
take from each other there (caches, memory, the clock of a core) is in it, so the same training is timed alone as well.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from common.data.extraction import extract_all
from common.data.resident import listing
from common.features.cache import FeatureCache, default_directory
from common.processes.cores import usable_cores
from common.progress import Display, log_to
from simulations.engine.fold import read_result
from simulations.sweep.trials import results
from simulations.sweep.trials.conditions import parse
from simulations.sweep.trials.runner import SweepJob, benchmark, first_config
from simulations.sweep.trials.trial import Sweep
from simulations.synthesis.corpus import synthesize

FOLDS = 4
COMMAND = "fedser bench sweep"


def run(trials: int = 64, rounds: int = 12, utterances: int = 400, workers: int | None = None) -> dict[str, Any]:
    """Trials of four sites on made-up speech, without privacy, whose sites tell how long they trained.

    First one trial of each fold runs alone: one process, one thread, nothing beside it. Then all trials run over the
    workers. The wall time is of all that ``fedser benchmark`` does but the page, once the features are in the cache:
    listing, reading them, starting workers, handshakes, averaging, held-out scores, the lines on the disk.

    Args:
        trials: a multiple of 4; four more run alone.
        rounds: of each.
        utterances: of the corpus.
        workers: processes; one a core by default.

    Returns:
        ``trials``, ``workers``, ``wall_s``, ``bare_s`` of all trials in the workers, ``ratio`` of the wall time to the
        bare time shared out, and ``alone_s``: what the same training takes with nothing beside it.
    """
    count = workers or usable_cores()
    with tempfile.TemporaryDirectory(prefix="fedser-bench-") as name, Display() as display:
        log_to(display.console)
        root = synthesize(Path(name) / "corpus", layout="iemocap", speakers=10, utterances=utterances, seed=0)
        given = {"data.corpus": "iemocap", "data.root": str(root), "data.held_out": f"kfold:{FOLDS}"}
        given |= {"data.validation": "none", "federation.rounds": str(rounds)}
        sweep = Sweep(
            given=given,
            conditions=parse("inf"),
            strategies=["fedavg"],
            sites=["4"],
            seeds=range(trials // FOLDS),
            baselines=False,
        )
        config = first_config(sweep)
        cache = FeatureCache(default_directory())
        extract_all(listing(config.data).utterances, config.features, config.augment, cache, workers=count)
        alone, out = Path(name) / "alone", Path(name) / "out"
        benchmark(
            SweepJob(sweep=dataclasses.replace(sweep, seeds=range(1)), out=alone, workers=0, command=COMMAND), display
        )
        began = time.perf_counter()
        benchmark(SweepJob(sweep=sweep, out=out, workers=count, command=COMMAND), display)
        wall = time.perf_counter() - began
        done, bare = len(results.read(out)), _trained(out)
        told = {"trials": done, "workers": count, "wall_s": wall, "bare_s": bare, "ratio": wall / (bare / count)}
        return told | {"alone_s": _trained(alone) * done / FOLDS}


def _trained(out: Path) -> float:
    """The seconds that all sites of all trials trained, in sum."""
    rounds = [entry for path in out.rglob("fold.json") for entry in read_result(path.parent).rounds]
    return float(sum(site.seconds or 0.0 for entry in rounds for site in entry.sites.values()))
