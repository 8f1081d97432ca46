"""From the command line's wishes to a running job: settings, the embedded corpus, the folder, the closing words."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.config.settings import PATHS, Config, Scalar, flatten, refuse_other_version
from common.data.resident import listing
from common.errors import UsageError
from common.features.encoded import refuse_other
from common.privacy.ledger.budget_unit import joined
from common.privacy.recipe import private_settings
from common.privacy.sharing import shared_among
from common.processes.cores import usable_cores
from common.progress import Display, log_to
from common.validate import in_range, one_of, plain_path
from server.records.starting_model import kept, load_initial
from server.reporting.artifacts import tell
from server.reporting.run_record import Result
from simulations.engine.output import (
    PERSONAL,
    RUN_SETTINGS,
    hold,
    open_folder,
    read_run_settings,
    refuse_existing,
    relocate,
)
from simulations.engine.planning import plans
from simulations.engine.promises import refuse_unkept
from simulations.engine.teachers import find_teacher
from simulations.job.embedded import provide_embedded
from simulations.job.simulate import Job, refuse_overspent, simulate

ENGINES = ("inprocess", "flower")


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the user asked for; ``flags`` by the settings' flat names: only what was given, in a file or as flags."""

    flags: Mapping[str, Any]
    out: Path | None
    resume: Path | None
    overwrite: bool
    engine: str | None
    workers: int | None
    baselines: bool
    command: str
    ledger: Path | None = None
    personal: bool = False


def start(wish: Start) -> Result:
    """Run, or go on with, a simulation and say what came out.

    Raises:
        UsageError: an option is wrong.
        FedserError: the run failed.
    """
    job = job_of(wish)
    with Display() as display:
        log_to(display.console)
        whole = carry_out(job, wish, display)
    tell(whole, job.out, display)
    return whole


def job_of(wish: Start) -> Job:
    """The simulation to run.

    Raises:
        UsageError: an option is wrong.
    """
    job = _resume(wish, wish.resume) if wish.resume else _fresh(wish)
    refuse_unkept(job.config, baselines=job.baselines)
    if wish.resume:
        _refuse_gone(wish.resume, job.config.data.root)
    return job


def carry_out(job: Job, wish: Start, display: Display) -> Result:
    """Find the embedded corpus where it is meant, open the run's folder, and run.

    Raises:
        FedserError: the run failed.
    """
    job = dataclasses.replace(job, config=provide_embedded(job.config, display))
    with contextlib.ExitStack() as stack:
        if job.out.is_dir():
            stack.enter_context(hold(job.out))  # before anything of it is deleted or changed
        selection = listing(job.config.data)  # so that a wrong option shows before hours of work
        load_initial(kept(job.config, job.out) if wish.resume else job.config, tuple(selection.classes))
        begun = wish.resume is not None and (job.out / "folds").exists()
        planned = plans(job.config, selection, [], personal=job.personal)
        job = dataclasses.replace(job, config=shared_among(job.config, min(len(plan.sites) for plan in planned)))
        refuse_overspent(job, planned, selection, begun=begun)
        for plan in planned:
            find_teacher(job.config, plan)
        own = {"engine": job.engine, "baselines": job.baselines, "command": job.command}
        own |= {PERSONAL: True} if job.personal else {}
        settings = {**flatten(job.config), **own, "ledger": str(job.ledger) if job.ledger else None}
        if wish.resume:
            _follow(job, wish.resume)
        open_folder(job.out, settings, resume=wish.resume is not None, overwrite=wish.overwrite)
        if not wish.resume:
            stack.enter_context(hold(job.out))
        return simulate(job, display)


def _follow(job: Job, out: Path) -> None:
    """Go after recordings that lie elsewhere than when the run was started."""
    before = read_run_settings(out)["data.root"]
    if before and before != job.config.data.root:
        old, new = (Path(root) for root in (before, job.config.data.root))
        relocate(out, *(root.parent if new.is_file() else root for root in (old, new)))


def _fresh(wish: Start) -> Job:
    if wish.out is None:
        raise UsageError("--out is missing: it names the folder for the run's results, e.g. --out runs/first")
    refuse_existing(wish.out, overwrite=wish.overwrite)
    one_of("--engine", wish.engine or ENGINES[0], ENGINES)
    if wish.engine == "flower" and importlib.util.find_spec("ray") is None:
        raise UsageError("--engine flower needs Ray: install fedser[ray], or use --engine inprocess")
    config = Config().with_values(private_settings(wish.flags)).with_whole_paths()
    if wish.engine == "flower" and config.federation.secure:
        raise UsageError("--secure adds up at the sites' nodes, which --engine flower has none of; use inprocess")
    if wish.engine == "flower":
        for path in (wish.out.absolute(), *(flatten(config)[name] for name in PATHS)):
            plain_path("--engine flower:", path)
    ledger = wish.ledger.expanduser().absolute() if wish.ledger else None
    if wish.overwrite and ledger and ledger.is_relative_to(wish.out.absolute()):
        raise UsageError(f"--overwrite would delete {ledger}, which says what was spent; keep --ledger outside --out")
    initial = config.federation.initial
    if wish.overwrite and initial and Path(initial).is_relative_to(wish.out.absolute()):
        raise UsageError(f"--overwrite would delete {initial}, which --initial names; choose another --out")
    return Job(
        config=joined(ledger, config) if ledger else config,
        out=wish.out,
        engine=wish.engine or ENGINES[0],
        workers=workers_of(wish.workers),
        baselines=wish.baselines,
        command=wish.command,
        ledger=ledger,
        personal=wish.personal,
    )


def _resume(wish: Start, out: Path) -> Job:
    """Read the run as it was started; flags that are given must be the same."""
    settings = read_run_settings(out)
    engine, baselines, command, ledger = (settings.pop(name) for name in RUN_SETTINGS)
    personal = bool(settings.pop(PERSONAL, False))
    if wish.personal and not personal:
        raise UsageError(f"--resume {out} was started without --personal, and trained on all recordings; start it anew")
    refuse_other_version(settings, f"--resume {out}")
    config = Config().with_values(settings)
    if config.features.encoder.on:
        refuse_other(config.features.encoder, config.features.encoder.path, "the run's is")
    other = wish.out or wish.ledger or wish.overwrite or (wish.engine or engine) != engine
    moved = config.with_values(wish.flags).with_whole_paths()
    if other or {**flatten(moved), **_places(config)} != flatten(config):
        raise UsageError(
            f"--resume {out} goes on with the settings that the run was started with; give none but --root, where the "
            "recordings were moved"
        )
    baselines = baselines or wish.baselines  # they change nothing of the federated run, and may come later
    workers = workers_of(wish.workers)
    place = Path(ledger) if ledger else None
    job = Job(config=moved, out=out, engine=engine, workers=workers, baselines=baselines, command=command, ledger=place)
    return dataclasses.replace(job, personal=personal)


def _places(config: Config) -> dict[str, Scalar]:
    """Where the recordings are, and what is said of them: that may have been moved meanwhile."""
    return {name: flatten(config)[name] for name in ("data.root", "data.label_map", "data.folds")}


def _refuse_gone(out: Path, root: str) -> None:
    if root and not Path(root).exists():
        raise UsageError(f"--resume {out}: the recordings are not at {root} any more; say where they are, --root NEW")


def workers_of(asked: int | None) -> int:
    """``--workers``: one a core where it is not given."""
    if asked is None:
        return usable_cores()
    in_range("--workers", asked, 0, 4096)
    return asked
