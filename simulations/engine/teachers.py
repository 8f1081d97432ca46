"""The teacher of each fold of a simulation: the model of the same fold of another run, which knows no test speaker."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from common.config.settings import Config
from common.errors import FederationError, FedserError, UsageError
from common.learning import saved_model
from common.splits.plan import Plan
from common.storage import atomic
from server.records.fold_record import FoldRecord, read_fold
from server.records.starting_model import trained_on
from simulations.engine.output import slug

FILE = "teacher.json"  # in a fold's folder: the hash of its teacher


def find_teacher(config: Config, plan: Plan) -> Path | None:
    """The file of a fold's teacher; None where there is none.

    Args:
        config: of the run, which names the teacher's run.
        plan: of the fold.

    Raises:
        UsageError: that run has no finished fold of this name, its model tells other classes apart, or it was trained,
            or whatever it was made from was, on one of the fold's test speakers, or that is not known.
    """
    if not config.training.teacher:
        return None
    run = Path(config.training.teacher)
    folder = run / "folds" / slug(plan.fold)
    try:
        record = read_fold(folder / "fold.json")
    except FedserError:
        raise UsageError(
            f"--teacher {run} has no finished fold {plan.fold}, expected a run over the same folds: each fold's own "
            "model is its teacher, for another was trained on its test speakers"
        ) from None
    saved = saved_model.load(folder, "--teacher")
    if saved.classes != plan.classes:
        raise UsageError(
            f"--teacher {run} tells {' '.join(saved.classes)} apart, the run {' '.join(plan.classes)}; choose a "
            "teacher of the same classes"
        )
    _refuse_leak(config, plan, record, saved.config.data.corpus)
    return folder / "model.safetensors"


def _refuse_leak(config: Config, plan: Plan, record: FoldRecord, corpus: str) -> None:
    """Refuse a teacher that would tell of the fold's test speakers."""
    where, known = f"--teacher {config.training.teacher}, fold {plan.fold}", trained_on(record, corpus)
    if known is None:
        raise UsageError(f"{where}: whom it was trained on is not known by name; choose a teacher that names them")
    if heard := sorted(set(known.get(config.data.corpus, ())) & set(plan.test_speakers)):
        raise UsageError(
            f"{where}: it was trained on {', '.join(heard)}, on whom this run is tested; choose a teacher over the "
            "same folds of the same recordings"
        )


def settle_teacher(config: Config, plan: Plan, folder: Path) -> Config:
    """The settings with the place of the fold's teacher; its hash is written down, or found the same on resuming.

    Args:
        config: of the run.
        plan: of the fold.
        folder: of the fold.

    Raises:
        UsageError: as ``find_teacher``.
        FederationError: it is another than when the run was started.
    """
    path = find_teacher(config, plan)
    if path is None:
        return config
    told = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    place = folder / FILE
    if place.exists() and json.loads(place.read_text(encoding="utf-8")) != told:
        raise FederationError(f"{path} is another teacher than when the run was started; start it anew, --overwrite")
    atomic.write(place, json.dumps(told))
    return config.with_values({"training.teacher": str(path.absolute())})
