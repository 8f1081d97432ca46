"""What the in-process engine costs: beside Flower's own on an app that does nothing, at scale, and on real training."""

from __future__ import annotations

import json
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from common.config.settings import Config, FederationConfig
from common.data.extraction import extract_all
from common.data.resident import keep, listing
from common.features.cache import FeatureCache
from common.messages.scope import Scope, forms_of
from common.processes.cores import usable_cores
from common.processes.warm_up import warm_up
from common.protocol import ARRAYS, CONFIG, EXAMPLES, LOSS, METRICS, SECONDS, TRAIN
from server.messages.exchange import exchange
from server.rounds.screening import fault
from server.rounds.site_scores import record
from server.rounds.strategy import Averaging
from simulations.engine.flower_simulation import submit, superlink
from simulations.engine.fold import run_in_process
from simulations.engine.planning import plans
from simulations.engine.worker_grid import RUN_ID, InProcessGrid, share_out
from simulations.speed.noop_app import noop
from simulations.synthesis.corpus import synthesize

NOOP_NODES, NOOP_ROUNDS = 8, 10
SCALE_NODES, SCALE_PARAMETERS = (100, 1000), 50_000
APP = Path(noop.__file__).parent


def run() -> dict[str, Any]:
    """All three parts, with the keys of ``fedser bench engine --json``."""
    logging.getLogger("flwr").setLevel(logging.ERROR)  # its strategies print some ten lines a round
    torch.set_num_threads(1)
    return {"noop": noop_app(), "scale": scale(), "training": training()}


def noop_app(repeats: int = 3) -> dict[str, float]:
    """(a) 8 nodes, 10 rounds of train and evaluate of an app that does nothing, the start of the workers included.

    ``flower_s`` is all of ``flwr run``; ``flower_strategy_s`` what it spends in the strategy's rounds, its start left
    out; ``inprocess_s`` the best of some runs.
    """
    with tempfile.TemporaryDirectory(prefix="fedser-bench-") as folder, superlink(Path(folder)) as (home, port):
        inside = Path(folder) / "seconds.json"
        began = time.perf_counter()
        submit(APP, home, port, {"out": str(inside)}, nodes=NOOP_NODES, workers=usable_cores())
        flower = time.perf_counter() - began
        rounds = float(json.loads(inside.read_text()))
    own = min(_noop_in_process() for _ in range(repeats))
    return {"inprocess_s": own, "flower_s": flower, "flower_strategy_s": rounds, "ratio": flower / own}


def _noop_in_process() -> float:
    began = time.perf_counter()
    settings: dict[str, Any] = {"rounds": NOOP_ROUNDS, "out": ""}
    configs = [{"partition-id": i} for i in range(NOOP_NODES)]
    with InProcessGrid(lambda: noop.client, configs, settings, workers=usable_cores()) as grid:
        noop.server(grid, Context(RUN_ID, 0, {}, RecordDict(), settings))
    return time.perf_counter() - began


def scale() -> dict[str, Any]:
    """(b) One round of 1,000 nodes that send 50,000 parameters back: time a node, and the server's memory.

    The memory is the most that the server process ever held, of a process of its own for each number of nodes.
    """
    measured = {nodes: _scale_apart(nodes) for nodes in SCALE_NODES}
    most = max(SCALE_NODES)
    return {
        "clients": most,
        "ms_per_client": measured[most]["seconds"] / most * 1e3,
        "rss_mb": {str(nodes): told["rss_mb"] for nodes, told in measured.items()},
    }


def _scale_apart(nodes: int) -> dict[str, float]:
    code = (
        f"import json; from simulations.speed.engine_overhead import scale_once; print(json.dumps(scale_once({nodes})))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    measured: dict[str, float] = json.loads(process.stdout.splitlines()[-1])
    return measured


def scale_once(nodes: int) -> dict[str, float]:
    """One round with fedser's own exchange, screening and mean, in this process."""
    arrays = {"weights": np.zeros(SCALE_PARAMETERS, dtype=np.float32)}
    plan = Averaging(FederationConfig())
    began = time.perf_counter()
    with InProcessGrid(_echo, [{}] * nodes, {}, workers=usable_cores()) as grid:
        content = RecordDict({ARRAYS: record(arrays), CONFIG: ConfigRecord({"server-round": 1})})
        messages = [Message(content, node, TRAIN) for node in grid.get_node_ids()]
        updates, scope = plan.gathered(), Scope(model=forms_of(arrays))
        for reply in exchange(grid, messages, 600.0):
            if fault(reply, scope) is None:
                updates.add(reply)
        mean = plan.aggregate(1, updates, arrays)
    seconds = time.perf_counter() - began
    if mean is None or not np.allclose(mean["weights"], 1.0):
        raise RuntimeError("the mean of the nodes' arrays is wrong")
    return {"seconds": seconds, "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _echo() -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:  # noqa: ARG001
        values = message.content.array_records[ARRAYS]["weights"].numpy() + np.float32(1)
        arrays: ArrayRecord = record({"weights": values})
        metrics = MetricRecord({EXAMPLES: 1, LOSS: 1.0, SECONDS: 1.0})
        return Message(RecordDict({ARRAYS: arrays, METRICS: metrics}), reply_to=message)

    return app


def training(rounds: int = 20) -> dict[str, float]:
    """(c) A federation of four sites on 1,000 recordings of synthetic speech: its wall time against the training in it.

    The wall time is that of the whole server app, from the start of the workers to the held-out score; bare is the sum
    over rounds of the training of the worker that took longest. Features are extracted beforehand.
    """
    with tempfile.TemporaryDirectory(prefix="fedser-bench-") as folder:
        root = synthesize(Path(folder) / "corpus", layout="iemocap", speakers=10, utterances=1000, seed=0)
        settings = {"data.root": str(root), "data.validation": "none", "federation.rounds": rounds}
        config = Config().with_values(settings)
        selection, cache = listing(config.data), FeatureCache(Path(folder) / "features")
        recordings, skipped = extract_all(selection.utterances, config.features, config.augment, cache)
        keep(config, recordings)
        [plan] = plans(config, selection, skipped)
        workers = usable_cores()
        out = Path(folder) / "run"
        out.mkdir()
        warm_up()  # imports, once a process, as simulate has them
        began = time.perf_counter()
        fold = run_in_process(config, plan, out, out / "events.jsonl", cache, workers=workers)
        wall = time.perf_counter() - began
    owner = share_out([len(site.train) for site in plan.sites], min(workers, len(plan.sites)))
    bare = 0.0
    for entry in fold.rounds:
        spent = [0.0] * workers
        for site, worker in zip(plan.sites, owner, strict=True):
            spent[worker] += entry.sites[site.name].seconds or 0.0
        bare += max(spent)
    return {"wall_s": wall, "bare_s": bare, "ratio": wall / bare}
