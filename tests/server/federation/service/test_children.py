from __future__ import annotations

import os
import time

import pytest

from server.federation.service.children import Child


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def shell(script: str, said: list[str], clock: Clock | None = None, hidden: tuple[str, ...] = ()) -> Child:
    return Child("program", ["sh", "-c", script], os.environ, said.append, hidden=hidden, clock=clock or Clock())


def ended(child: Child) -> Child:
    deadline = time.monotonic() + 20
    while child.running and time.monotonic() < deadline:
        time.sleep(0.02)
    return child


def test_its_output_is_passed_on_but_for_what_is_routine(capsys: pytest.CaptureFixture[str]) -> None:
    child = ended(shell(r"printf '\033[92mup\033[0m\npoll 1\nbye\n'", [], hidden=("poll",)))
    assert child.last_line == "bye"
    assert capsys.readouterr().out == "program: up\nprogram: bye\n"


def test_it_is_started_again_at_once_and_then_with_longer_pauses() -> None:
    said: list[str] = []
    clock = Clock()
    child = ended(shell("exit 3", said, clock))
    child.tend()
    assert said == ["the program ended (exit code 3); starting it again now"]
    for pause in (1, 2, 4, 8, 16, 30, 30):
        ended(child)
        child.tend()
        child.tend()
        assert said[-1] == f"the program ended (exit code 3); starting it again in {pause} s"
        assert not child.running
        clock.now += pause
        child.tend()
    assert len(said) == 8
    child.end()


def test_one_that_was_up_for_long_is_started_again_at_once() -> None:
    said: list[str] = []
    clock = Clock()
    child = ended(shell("kill -9 $$", said, clock))
    child.tend()
    ended(child)
    clock.now += 61
    child.tend()
    assert said == ["the program ended (signal 9); starting it again now"] * 2
    child.end()


def test_it_ends_when_it_is_told() -> None:
    child = shell("sleep 60", [])
    child.end()
    assert not child.running
