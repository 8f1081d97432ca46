"""Worker processes of this machine for a sweep's parts, one torch thread each; none outlives this process."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

import torch

from common.errors import FederationError
from common.processes.parent_watch import end_with_parent


class Processes:
    """An engine of ``simulations.sweep.trials.schedule``; use it in a ``with`` block.

    Workers are forked where that is safe, and then share the features that this process holds.

    Args:
        workers: processes; 0 to work in this one.
    """

    def __init__(self, workers: int) -> None:
        self.slots = max(1, workers)
        self._pool: ProcessPoolExecutor | None = None
        if workers:
            context: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
            self._pool = ProcessPoolExecutor(workers, context, initializer=start_worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if self._pool is None:
            return
        if kind is not None:  # Ctrl-C too: otherwise the pool would finish what is queued
            for process in multiprocessing.active_children():
                process.kill()
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise FederationError(
                "a worker process was killed, perhaps for want of memory; give the same command again, perhaps with "
                "fewer --workers: what is finished stays"
            ) from None

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
