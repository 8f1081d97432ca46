"""One fold's federation on one machine: the same two apps, in process or under Flower's own simulation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

from flwr.app import Context, RecordDict

from common.config.run_config import build_run_config
from common.config.settings import Config, Scalar, flatten
from common.errors import FederationError
from common.features.cache import FeatureCache
from common.protocol import PARTITION
from common.splits import plan as plans
from common.splits.plan import Plan
from server.records.fold_record import FoldRecord, read_fold
from simulations.engine.promises import refuse_unkept
from simulations.engine.secured_app import SecuredApp, make_keys
from simulations.engine.teachers import settle_teacher
from simulations.engine.worker_grid import RUN_ID, Answering, InProcessGrid

SUMS = "sums"  # in a fold's folder: what the sites' nodes keep where updates are added up behind masks


def local_run_config(
    config: Config, folder: Path, events: Path, cache: FeatureCache, ledger: Path | None
) -> dict[str, Scalar]:
    """The run config of a fold: where this machine keeps things, the ledgers in the fold's folder by default."""
    out, events, places, ledgers = (
        path.absolute() for path in (folder, events, cache.directory, ledger or folder / "ledger")
    )
    return build_run_config(flatten(config), out=out, events=events, cache=places, ledger=ledgers)


def settle(config: Config, plan: Plan, folder: Path) -> None:
    """Write a fold's plan before its first round, or find the same on resuming.

    Raises:
        UsageError: as ``simulations.engine.promises.refuse_unkept``.
        FederationError: the corpus was split otherwise when the run was started: some would be in train and test.
    """
    refuse_unkept(config)
    path = folder / "plan.json"
    if path.exists() and plans.read(path) != plan:
        raise FederationError(f"{path}: the corpus has changed since the run was started; start it anew, --overwrite")
    plan.write(path)


def finished(folder: Path) -> bool:
    """Whether a fold has its result: the server app ends by writing it."""
    return (folder / "fold.json").exists()


def read_result(folder: Path) -> FoldRecord:
    """A finished fold's result."""
    return read_fold(folder / "fold.json")


def run_in_process(
    config: Config,
    plan: Plan,
    folder: Path,
    events: Path,
    cache: FeatureCache,
    *,
    workers: int,
    on_reply: Callable[[str], None] = lambda _: None,
    ledger: Path | None = None,
    app: Callable[[], Answering] | None = None,
) -> FoldRecord:
    """Run one fold, or go on with it, over local worker processes.

    Args:
        config: of the run.
        plan: of the fold.
        folder: of the fold.
        events: the file that gets a line a round.
        cache: of features.
        workers: processes; 0 for none beside this one. The result is the same.
        on_reply: called with a site's name when it has answered.
        ledger: the folder of the sites' ledgers; the fold's own by default.
        app: makes the sites' app; the real one by default, another where an audit has sites that are not honest.

    Raises:
        FedserError: as ``settle`` and ``settle_teacher``, or the federation cannot go on.
    """
    settle(config, plan, folder)
    if finished(folder):
        return read_result(folder)
    config = settle_teacher(config, plan, folder)
    from server.app import app as server_app

    settings = local_run_config(config, folder, events, cache, ledger)
    load = app or _client_app
    if config.federation.secure:
        names = [site.name for site in plan.sites]
        make_keys(folder / SUMS, names)
        load = functools.partial(_secured_app, folder / SUMS, names)
    grid = InProcessGrid(
        load,
        [{PARTITION: i} for i in range(len(plan.sites))],
        settings,
        workers=workers,
        weights=[len(site.train) for site in plan.sites],
        on_reply=lambda node: on_reply(plan.sites[node - 1].name),
    )
    with grid:
        server_app(grid, Context(RUN_ID, 0, {}, RecordDict(), settings))
    return read_result(folder)


def _client_app() -> Answering:
    from client.app import app

    return app


def _secured_app(folder: Path, sites: Sequence[str]) -> Answering:
    return SecuredApp(_client_app(), folder, sites)
