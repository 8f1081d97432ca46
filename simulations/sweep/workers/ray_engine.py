"""A Ray cluster for a sweep's parts: an existing one by its address, or one on this machine.

For users who outgrow one machine. The parts are the same as with worker processes, and so is what they leave: every
machine of the cluster has fedser installed, and sees the corpus, the benchmark's folder and the feature cache
(``FEDSER_CACHE``) under the same paths, on a disk that they share. ``results.jsonl`` is written by this process alone.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self

from common.errors import FederationError, FedserError, UsageError
from simulations.sweep.workers.local_ray import LocalRay
from simulations.sweep.workers.processes import settle_worker

RAY_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # 15 otherwise: beside other work Ray's workers would hardly run
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else each start prints a notice about GPUs
}
CONNECT_SECONDS = 5.0


class RayCluster:
    """An engine of ``simulations.sweep.trials.schedule``; use it in a ``with`` block.

    Args:
        workers: processes of a cluster on this machine; an existing one has as many as it has cores.
        address: of an existing cluster, as ``ray start`` prints it; empty for one on this machine.

    Raises:
        UsageError: Ray isn't installed, or there is no such cluster.
    """

    def __init__(self, workers: int, address: str = "") -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError("--engine ray needs Ray: install fedser[ray], or leave --engine out")
        for name, value in RAY_SETTINGS.items():
            os.environ.setdefault(name, value)
        import ray

        self._local: LocalRay | None = None
        if address:
            _refuse_silence(address)
        else:
            self._local = LocalRay(max(1, workers))
        try:
            where = self._local.address if self._local else address
            ray.init(where, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UsageError(f"--engine ray: no cluster at {address or 'this machine'}: {error}") from None
        self._ray = ray
        self._attempt = ray.remote(num_cpus=1, max_retries=2)(attempt)
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self.slots = max(1, int(resources.get("CPU", 1)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()
        if self._local:
            self._local.stop()

    def submit(self, work: Callable[[], object]) -> Future[Any]:
        """Begin a piece of work."""
        future: Future[Any] = Future()

        def pass_on(told: Future[Any]) -> None:
            error = told.exception() or told.result()
            if error is None:
                future.set_result(None)
            elif isinstance(error, self._ray.exceptions.RayError) and not isinstance(error, FedserError):
                future.set_exception(FederationError(f"Ray lost a worker ({type(error).__name__}: {error})"))
            else:
                future.set_exception(error)

        self._attempt.remote(work).future().add_done_callback(pass_on)
        return future


def _refuse_silence(address: str) -> None:
    """Refuse an address where nothing listens: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return  # auto
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise UsageError(f"--address {address}: nothing answers there ({error}); is the cluster up?") from None


def attempt(work: Callable[[], object]) -> FedserError | None:
    """Do a piece of work at a worker; a user's error comes back as a value, for Ray would wrap it."""
    settle_worker()
    try:
        work()
    except FedserError as error:
        return error
    return None
