"""A batch over several cores: a process each, which takes the next recording; told in the order of their names."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from common.errors import FedserError
from common.processes.parent_watch import end_with_parent
from common.processes.pool import processes
from recogniser.listening.run_export import open_model
from recogniser.recordings.batch import Batch, Done, Task

Plan = Callable[..., Batch]  # of a model

_AHEAD = 2  # recordings a process that are done or wait: more would be kept behind one that takes long
_KILLED = FedserError(
    "a process that recognises was killed, perhaps for want of memory; what is written is whole, and the same command "
    "goes on: with --jobs 1 it takes the least"
)
_own: list[Batch] = []  # in such a process: its own


def shared_out(plan: Plan, model: Path, found: Sequence[Task], jobs: int) -> Iterator[Done]:
    """Do recordings in some processes.

    Args:
        plan: what is done, as a batch of a model.
        model: where it lies; each process opens it for itself.
        found: the recordings, in whose order the results come.
        jobs: how many processes.

    Raises:
        FedserError: for want of space or rights, or a process was killed.
    """
    with processes(jobs, _KILLED, start=partial(_begin, plan, model)) as pool:
        ahead: deque[Future[Done]] = deque()
        for task in found:
            ahead.append(pool.submit(_do, task))
            if len(ahead) > _AHEAD * jobs:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _begin(plan: Plan, model: Path) -> None:
    end_with_parent()
    _own[:] = [plan(model=open_model(model))]


def _do(task: Task) -> Done:
    return _own[0].done(task)
