"""The order of a sweep's parts over the workers: as listed, each as soon as what it waits for is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol

from common.errors import FedserError
from simulations.sweep.trials.parts import Part


class Engine(Protocol):
    """What carries out parts.

    Attributes:
        slots: how many it can do at a time.
    """

    slots: int

    def submit(self, work: Callable[[], object]) -> Future[Any]:
        """Begin a piece of work."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class EndedPart:
    """A part that has ended, done or failed.

    Attributes:
        part: which.
        error: what went wrong; None if it is done.
    """

    part: Part
    error: FedserError | None = None


class Waiting:
    """The trials that wait for parts.

    Attributes:
        failed: the trials that will not end, each with the error that it met.
    """

    def __init__(self, parts: Iterable[Part]) -> None:
        self.failed: dict[str, FedserError] = {}
        self._missing: dict[str, set[str]] = {}
        for part in parts:
            for trial in part.trials:
                self._missing.setdefault(trial, set()).add(part.name)

    def __len__(self) -> int:
        return len(self._missing)

    def end(self, outcome: EndedPart) -> list[str]:
        """Take a part that has ended; the trials for which it was the last."""
        complete = []
        for trial in sorted(outcome.part.trials & self._missing.keys()):
            self._missing[trial].discard(outcome.part.name)
            if outcome.error:
                self.failed[trial] = outcome.error
                del self._missing[trial]
            elif not self._missing[trial]:
                complete.append(trial)
                del self._missing[trial]
        return complete


def joined(parts: Iterable[Part]) -> list[Part]:
    """Parts of the same name made one, for which the trials of both wait; in the order of the first ones."""
    by_name: dict[str, Part] = {}
    for part in parts:
        known = by_name.get(part.name)
        trials = part.trials | (known.trials if known else frozenset())
        by_name[part.name] = dataclasses.replace(known or part, trials=trials)
    return list(by_name.values())


def carry_out(parts: Sequence[Part], engine: Engine) -> Iterator[EndedPart]:
    """Do all parts; a user's error ends those that wait for the part that met it, and no other.

    Args:
        parts: no two of the same name, and none that waits for a part that isn't among them.
        engine: that does the work.

    Yields:
        Each part as it ends.
    """
    waiting, done, failed = list(parts), set[str](), set[str]()
    running: dict[Future[Any], Part] = {}
    while waiting or running:
        for part in [part for part in waiting if part.after & failed]:
            waiting.remove(part)
            failed.add(part.name)
            yield EndedPart(part=part, error=FedserError(f"{part.name}: what it needs has failed"))
        ready = [part for part in waiting if part.after <= done][: engine.slots - len(running)]
        for part in ready:
            waiting.remove(part)
            running[engine.submit(part.work)] = part
        ended, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in ended:
            outcome = _outcome(running.pop(future), future)
            (failed if outcome.error else done).add(outcome.part.name)
            yield outcome


def _outcome(part: Part, future: Future[Any]) -> EndedPart:
    try:
        future.result()
    except FedserError as error:
        return EndedPart(part=part, error=error)
    return EndedPart(part=part)
