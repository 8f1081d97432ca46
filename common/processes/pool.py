"""Worker processes that end with this one, and at once where the work is broken off."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from common.errors import FedserError
from common.processes.parent_watch import end_with_parent


@contextlib.contextmanager
def processes(
    workers: int, killed: FedserError, *, start: Callable[[], None] | None = None, forked: bool = False
) -> Iterator[ProcessPoolExecutor]:
    """A pool for the work of a block; what is still queued when the block is left is not done.

    Args:
        workers: how many.
        killed: raised where a worker was killed, e.g. for want of memory.
        start: called first in each; by default the worker computes in one thread and ends with its parent.
        forked: whether workers share this process's memory, where that is safe.

    Raises:
        FedserError: ``killed``.
    """
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn") if forked else None
    pool = ProcessPoolExecutor(workers, context, initializer=start or one_thread)
    try:
        yield pool
    except BaseException as error:  # Ctrl-C too: otherwise the pool would finish all that is queued
        for process in list((pool._processes or {}).values()):  # its own alone: a program has others
            process.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise killed from None
        raise
    pool.shutdown(cancel_futures=True)


def one_thread() -> None:
    """For a worker: torch computes in one thread, and the process ends with its parent."""
    end_with_parent()
    import torch  # takes seconds, and not all workers need it

    torch.set_num_threads(1)
