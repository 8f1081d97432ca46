"""One fold under Flower's own simulation: ``flwr run`` on Ray, with the same two apps.

``flwr run`` would leave a SuperLink behind in the user's home; here it is this run's own, on a free port of loopback,
with its files in the fold's folder, and it ends with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from common.config.settings import Config, Scalar
from common.deployment.environment import PROGRAMS, for_programs
from common.deployment.loopback import LOOPBACK, free_port
from common.errors import FederationError
from common.features.cache import FeatureCache
from common.flower import bundle
from common.processes import subreaper
from common.processes.cores import usable_cores
from common.splits.plan import Plan
from common.storage import atomic
from server.records.fold_record import FoldRecord
from simulations.engine.fold import finished, local_run_config, read_result, settle
from simulations.engine.teachers import settle_teacher

START_SECONDS = 60.0
CONNECTION = "fedser"


def run_under_flower(
    config: Config,
    plan: Plan,
    folder: Path,
    events: Path,
    cache: FeatureCache,
    *,
    workers: int,
    on_reply: Callable[[str], None] = lambda _: None,
    ledger: Path | None = None,
) -> FoldRecord:
    """Run one fold, or go on with it, on Ray; the arguments are those of ``simulations.engine.fold.run_in_process``.

    Raises:
        FedserError: as ``simulations.engine.fold.settle`` and ``simulations.engine.teachers.settle_teacher``.
        FederationError: the run failed; Flower's log is named.
    """
    settle(config, plan, folder)
    if finished(folder):
        return read_result(folder)
    config = settle_teacher(config, plan, folder)
    settings = local_run_config(config, folder, events, cache, ledger)
    with superlink((folder / "flower").absolute()) as (home, port):
        submit(
            bundle.unpack(home / "app"),
            home,
            port,
            settings,
            nodes=len(plan.sites),
            workers=workers,
            watch=lambda: on_reply("Flower"),
        )
    if not finished(folder):
        raise FederationError(f"Flower's run ended without a result; its log is {home / 'run.log'}")
    return read_result(folder)


def submit(
    app: Path,
    home: Path,
    port: int,
    settings: Mapping[str, Scalar],
    *,
    nodes: int,
    workers: int,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Hand an app to a SuperLink and wait for the run's end; Flower's output is kept in ``home/run.log``.

    Args:
        app: the folder with the app's pyproject.toml.
        home: Flower's folder for this run.
        port: of the SuperLink on loopback.
        settings: the run config.
        nodes: simulated SuperNodes.
        workers: how many of them work at once.
        watch: called now and then.
    """
    atomic.write(
        home / "run.toml",
        "".join(f"{json.dumps(k)} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in settings.items()),
    )
    atomic.write(home / "config.toml", f'[superlink.{CONNECTION}]\naddress = "127.0.0.1:{port}"\ninsecure = true\n')
    cpus = max(1, usable_cores() // max(1, workers))
    shape = f"num-supernodes={nodes} client-resources-num-cpus={cpus} client-resources-num-gpus=0.0"
    command = [str(PROGRAMS / "flwr"), "run", str(app), CONNECTION, "--stream", "--federation-config", shape]
    command += ["--run-config", str(home / "run.toml")] if settings else []
    with (home / "run.log").open("ab") as log:
        process = subprocess.Popen(command, env=_environment(home), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                watch()
                time.sleep(0.2)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        last = (home / "run.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise FederationError(f"flwr run failed ({' '.join(last)}); its log is {home / 'run.log'}")


@contextlib.contextmanager
def superlink(home: Path) -> Iterator[tuple[Path, int]]:
    """A SuperLink of this process's own, in simulation mode: its folder and its port on loopback."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [str(PROGRAMS / "flower-superlink"), "--insecure", "--simulation", "--isolation", "subprocess"]
    command += ["--host", LOOPBACK, "--port", str(port), "--log-file", str(home / "superlink.log")]
    with (home / "superlink.out").open("ab") as log:
        process = subprocess.Popen(
            subreaper.command(*command), env=_environment(home), cwd=home, stdout=log, stderr=log
        )
    try:
        _wait_until_up(process, port, home)
        yield home, port
    finally:
        process.terminate()
        process.wait()


def _environment(home: Path) -> dict[str, str]:
    return {**for_programs(home), "RAY_USAGE_STATS_ENABLED": "0"}


def _wait_until_up(process: subprocess.Popen[bytes], port: int, home: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _is_up(port):
            return
        time.sleep(0.1)
    raise FederationError(f"Flower's SuperLink did not start; its log is {home / 'superlink.log'}")


def _is_up(port: int) -> bool:
    """Asked without a proxy, whatever the environment says."""
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=1)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
