from __future__ import annotations

import os
import time

import pytest

from client.node.site import site_process
from common.processes import subreaper, supervised
from common.processes.supervised import Child, Output, Pauses
from server.federation.service import supervisor


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def shell(
    script: str,
    said: list[str],
    clock: Clock | None = None,
    hidden: tuple[str, ...] = (),
    *,
    pauses: Pauses = supervisor.PAUSES,
    guarded: bool = True,
    final: int | None = None,
) -> Child:
    command = ["sh", "-c", script]
    child = Child(
        "program",
        subreaper.command(*command) if guarded else command,
        os.environ,
        said.append,
        pauses=pauses,
        output=Output(hidden) if guarded else None,
        final=final,
        clock=clock or Clock(),
    )
    child.tend()
    return child


def ended(child: Child) -> Child:
    deadline = time.monotonic() + 20
    while child.running and time.monotonic() < deadline:
        time.sleep(0.02)
    return child


def test_its_output_is_passed_on_but_for_what_is_routine(capsys: pytest.CaptureFixture[str]) -> None:
    child = ended(shell(r"printf '\033[92mup\033[0m\npoll 1\nbye\n'", [], hidden=("poll",)))
    assert child.last_line == "bye"
    assert capsys.readouterr().out == "program: up\nprogram: bye\n"


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [(supervisor.PAUSES, [0, 1, 2, 4, 8, 16, 30, 30]), (site_process.PAUSES, [1, 2, 4, 8, 16, 32, 60, 60])],
    ids=["coordinator", "site"],
)
def test_it_is_started_again_with_pauses_that_grow_until_it_holds(pauses: Pauses, expected: list[int]) -> None:
    said: list[str] = []
    clock = Clock()
    child = shell("exit 3", said, clock, pauses=pauses, guarded=False)
    for pause in expected:
        ended(child)
        child.tend()
        when = f"in {pause} s" if pause else "now"
        assert said.pop() == f"the program ended (exit code 3); starting it again {when}"
        if pause:
            child.tend()
            assert not child.running
            clock.now += pause
            child.tend()
        assert said == []
    ended(child)
    clock.now += pauses.steady + 1
    child.tend()
    assert said[0].endswith("in 1 s" if expected[0] else "now")
    supervised.end([child])


def test_a_signal_is_called_one_also_under_a_guard() -> None:
    for guarded in (True, False):
        said: list[str] = []
        child = ended(shell("kill -9 $$", said, guarded=guarded))
        child.tend()
        assert said == ["the program ended (signal 9); starting it again now"]
        supervised.end([child])


def test_one_that_ended_for_good_is_not_started_again() -> None:
    said: list[str] = []
    child = ended(shell("exit 2", said, guarded=False, final=2))
    with pytest.raises(SystemExit) as end:
        child.tend()
    assert (end.value.code, said) == (2, [])


def test_it_ends_when_it_is_told() -> None:
    child = shell("sleep 60", [])
    supervised.end([child])
    assert not child.running


def test_one_that_does_not_listen_is_killed() -> None:
    child = shell("trap '' TERM; echo on; while :; do sleep 0.05; done", [], guarded=False)
    supervised.end([child], patience=0.3)
    assert not child.running
