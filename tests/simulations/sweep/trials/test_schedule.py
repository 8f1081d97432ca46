from __future__ import annotations

from collections.abc import Callable, Iterable

from common.errors import FedserError
from simulations.sweep.trials.parts import Part
from simulations.sweep.trials.schedule import Waiting, carry_out, joined
from simulations.sweep.workers.processes import Processes


def part(name: str, work: Callable[[], object], trials: Iterable[str] = (), after: Iterable[str] = ()) -> Part:
    return Part(name=name, work=work, trials=frozenset(trials), after=frozenset(after))


def fail() -> None:
    raise FedserError("no")


def test_a_part_waits_for_those_it_needs() -> None:
    done: list[str] = []
    parts = [
        part("late", lambda: done.append("late"), after=("early",)),
        part("early", lambda: done.append("early")),
        part("free", lambda: done.append("free")),
    ]
    outcomes = list(carry_out(parts, Processes(0)))
    assert done == ["early", "late", "free"]
    assert [outcome.part.name for outcome in outcomes] == done


def test_parts_that_are_shared_are_done_once() -> None:
    done: list[int] = []
    work = [part("pooled", lambda: done.append(1), ["a"]), part("pooled", lambda: done.append(2), ["b"])]
    [own] = joined(work)
    assert own.trials == {"a", "b"}
    list(carry_out([own], Processes(0)))
    assert done == [1]


def test_a_trial_is_complete_with_its_last_part_and_a_failure_ends_only_those_that_wait_for_it() -> None:
    parts = [
        part("a", int, ["one"]),
        part("shared", int, ["one", "two"]),
        part("bad", fail, ["three"]),
        part("needs bad", int, ["three"], after=("bad",)),
    ]
    waiting = Waiting(parts)
    complete = [waiting.end(outcome) for outcome in carry_out(parts, Processes(0))]
    assert sorted(complete) == [[], [], [], ["one", "two"]]
    assert {name: str(error) for name, error in waiting.failed.items()} == {"three": "no"}
    assert len(waiting) == 0


def test_worker_processes_do_the_work_and_pass_errors_on() -> None:
    parts = [part("good", int), part("bad", fail)]
    with Processes(2) as engine:
        errors = {outcome.part.name: str(outcome.error) for outcome in carry_out(parts, engine)}
    assert errors == {"good": "None", "bad": "no"}
