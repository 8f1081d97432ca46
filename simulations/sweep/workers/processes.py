"""Worker processes of this machine for a sweep's parts, one torch thread each; none outlives this process."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, Self

import torch

from common.errors import FederationError
from common.processes.parent_watch import end_with_parent
from common.processes.pool import processes

_KILLED = FederationError(
    "a worker process was killed, perhaps for want of memory; give the same command again, perhaps with fewer "
    "--workers: what is finished stays"
)


class Processes:
    """An engine of ``simulations.sweep.trials.schedule``; use it in a ``with`` block.

    Workers are forked where that is safe, and then share the features that this process holds.

    Args:
        workers: processes; 0 to work in this one.
    """

    def __init__(self, workers: int) -> None:
        self.slots = max(1, workers)
        self._workers = workers
        self._stack = contextlib.ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._workers:
            self._pool = self._stack.enter_context(processes(self._workers, _KILLED, start=start_worker, forked=True))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def submit(self, work: Callable[[], object]) -> Future[Any]:
        """Begin a piece of work."""
        if self._pool is not None:
            return self._pool.submit(work)
        future: Future[Any] = Future()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)
        return future


def start_worker() -> None:
    """One thread, an end with the parent, and no words of single sites: a sweep has thousands of rounds of them."""
    end_with_parent()
    settle_worker()


def settle_worker() -> None:
    """One thread, and no words of single sites."""
    torch.set_num_threads(1)
    logging.getLogger("fedser").setLevel(logging.ERROR)
    logging.getLogger("flwr").setLevel(logging.ERROR)
