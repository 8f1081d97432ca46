from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from common.config.settings import Config
from common.errors import FederationError
from common.progress import Display
from server.federation.runs.follow import Follower, Tail
from server.federation.runs.run_folder import FAILED, FINISHED, LOST, STOPPED, RunFolder
from server.federation.runs.submit import Progress, Runs
from tests.server.federation import example_folder

GOES_ON = Progress(ended=False)


class Script:
    """A SuperLink that answers as it is told; an answer that is an error is raised."""

    def __init__(self, *answers: object, forever: object = GOES_ON) -> None:
        self.answers, self.forever, self.stopped = list(answers), forever, list[int]()

    def progress(self, number: int) -> Progress:
        answer = self.answers.pop(0) if self.answers else self.forever
        if callable(answer):
            answer = answer()
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Progress)
        return answer

    def stop(self, number: int) -> None:
        self.stopped.append(number)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return example_folder.run(example_folder.folder(tmp_path))


def follower(run: RunFolder, script: Script, display: Display, timeout: float = 100.0) -> Follower:
    time = iter(range(1_000_000))
    return Follower(
        runs=cast("Runs", script),
        run=run,
        config=Config().with_values({"federation.rounds": 3, "federation.round_timeout": timeout}),
        display=display,
        seconds=60.0,
        clock=lambda: float(next(time)),
        sleep=lambda _: None,
    )


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    return lambda: " ".join(capsys.readouterr().err.split())


def test_rounds_and_warnings_are_shown_and_the_end_is_noted(run: RunFolder, said: Callable[[], str]) -> None:
    run.file("run.log").write_text("2026-11-21T15:00:00Z WARNING of an earlier run\n")
    entries = [example_folder.entry(1, uar=0.5), example_folder.entry(2, uar=0.625)]

    def first() -> Progress:
        example_folder.rounds(run, entries[:1])
        return GOES_ON

    def second() -> Progress:
        with run.file("run.log").open("a") as log:
            log.write("2026-11-21T15:00:00Z INFO dull\n2026-11-21T15:00:00Z WARNING charite: no answer\n")
        return GOES_ON

    done = Progress(ended=True, completed=True)
    with Display() as display:
        assert follower(run, Script(first, second, done), display).follow(9) == done
    state = run.state()
    assert state is not None
    assert (state.state, state.flower) == (FINISHED, 9)
    assert state.seconds > 60
    told = said()
    assert "charite: no answer" in told
    assert "dull" not in told
    assert "earlier" not in told


def test_a_failure_is_noted_with_what_the_server_said(run: RunFolder) -> None:
    with Display() as display:
        ended = follower(run, Script(Progress(ended=True, why="no such corpus")), display).follow(9)
    assert ended.why == "no such corpus"
    state = run.state()
    assert state is not None
    assert (state.state, state.why) == (FAILED, "no such corpus")


def test_ctrl_c_stops_the_run_and_says_how_to_go_on(run: RunFolder, said: Callable[[], str]) -> None:
    example_folder.rounds(run, [example_folder.entry(1, uar=0.5)])
    script = Script(GOES_ON, KeyboardInterrupt())
    with Display() as display, pytest.raises(KeyboardInterrupt):
        follower(run, script, display).follow(9)
    assert script.stopped == [9]
    assert "stopped after round 1; go on with fedser federation run --resume run-1" in said()
    assert getattr(run.state(), "state", None) == STOPPED


def test_a_superlink_that_is_silent_for_a_moment_is_forgiven(run: RunFolder, said: Callable[[], str]) -> None:
    done = Progress(ended=True, completed=True)
    with Display() as display:
        script = Script(ConnectionError(), ConnectionError(), GOES_ON, done)
        assert follower(run, script, display).follow(9) == done
    told = said()
    assert told.count("the SuperLink does not answer; waiting for it") == 1
    assert told.count("the SuperLink answers again") == 1


def test_a_superlink_that_is_gone_ends_the_run_with_one_line(run: RunFolder) -> None:
    example_folder.rounds(run, [example_folder.entry(4, uar=None)])
    with Display() as display, pytest.raises(FederationError) as error:
        follower(run, Script(forever=ConnectionError()), display).follow(9)
    assert str(error.value) == (
        "the SuperLink does not answer any more, after round 4; see to fedser server, then go on with fedser "
        "federation run --resume run-1"
    )
    assert getattr(run.state(), "state", None) == LOST


def test_a_superlink_that_goes_after_the_result_was_written_does_no_harm(run: RunFolder) -> None:
    run.file("fold.json").write_text("{}")
    with Display() as display:
        assert follower(run, Script(forever=ConnectionError()), display).follow(9).completed


def test_a_silent_run_is_told_once_and_ended_when_it_can_do_nothing_any_more(
    run: RunFolder, said: Callable[[], str]
) -> None:
    script = Script()
    with (
        Display() as display,
        pytest.raises(FederationError, match=r"heard of the run for 9.. s, and it was stopped"),
    ):
        follower(run, script, display, timeout=100.0).follow(9)
    assert script.stopped == [9]
    assert said().count("fedser federation status") == 1
    assert getattr(run.state(), "state", None) == FAILED


def test_tail_gives_whole_new_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    tail = Tail(path)

    def added(text: str) -> list[str]:
        with path.open("a") as file:
            file.write(text)
        return list(tail.lines())

    assert added("one\ntw") == ["one"]
    assert added("o\n") == ["two"]
    assert added("") == []
    assert list(Tail(tmp_path / "none").lines()) == []
