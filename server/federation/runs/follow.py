"""A deployed run followed from outside: its rounds, its warnings, its end, and the ends that it could not tell of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common.config.settings import Config
from common.errors import FederationError
from common.progress import Display, Step
from server.federation.runs.run_folder import FAILED, FINISHED, LOST, RUNNING, STOPPED, RunFolder, RunState
from server.federation.runs.submit import Progress, Runs
from server.run import events, run_log

EVERY_SECONDS = 1.0
ASK_SECONDS = 3.0  # between two questions to the SuperLink, which notes each in its log
LOST_SECONDS = 20.0  # a SuperLink that doesn't answer for so long is gone
MARGIN_SECONDS = 60.0  # above a round's time, before silence is worth a word
MEETING_SECONDS = 660.0  # the sites may take so long to come, before round 1
WAITS = 3  # of up to a round's time each, in one round: for sites to come back, for training, for validation


@dataclass(kw_only=True)
class Follower:
    """Follows a run; ``clock`` and ``sleep`` are for tests.

    Attributes:
        runs: at the SuperLink.
        run: its folder.
        config: of the run.
        display: shows the progress.
        seconds: that the run was followed for so far.
        number: Flower's of the run.
    """

    runs: Runs
    run: RunFolder
    config: Config
    display: Display
    seconds: float = 0.0
    number: int = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _noted: float = field(default=0.0, init=False)
    _asked: float = field(default=0.0, init=False)
    _answered: float = field(default=0.0, init=False)
    _silent: bool = field(default=False, init=False)

    def follow(self, number: int) -> Progress:
        """Wait for a run's end; ``state.json`` says how it stands meanwhile, and how it ended.

        Args:
            number: Flower's of the run.

        Raises:
            FederationError: the SuperLink is gone, or nothing was heard for longer than a round can take.
            KeyboardInterrupt: the user wants no more; the run was stopped.
        """
        self.number, self._noted = number, self.clock()
        self._note(RUNNING)
        try:
            ended = self._watch()
        except KeyboardInterrupt:
            self._end(STOPPED, "interrupted")
            self.display.say(f"stopped after round {self._round()}; {self.run.resume_hint}")
            raise
        state = FINISHED if ended.completed else STOPPED if ended.stopped else FAILED
        self._note(state, ended.why)
        return ended

    def _watch(self) -> Progress:
        step = self.display.step("rounds", self.config.federation.rounds)
        warned, tail = False, Tail(self.run.file("run.log"))
        heard, seen = self.clock(), -1
        self._answered = self._asked = heard
        while True:
            ended = self._ask_again()
            told = [text for _, text in run_log.warnings(tail.lines())]
            for text in told:
                self.display.say(text)
            if (done := self._round()) != seen or told:
                seen, heard, warned = done, self.clock(), False
                self._note(RUNNING)
                self._show(step)
            if ended.ended:
                return ended
            warned = self._judge_silence(self.clock() - heard, warned)
            self.sleep(EVERY_SECONDS)

    def _ask_again(self) -> Progress:
        """Ask Flower how the run is: now and then, and when the ServerApp has written its result.

        Raises:
            FederationError: the SuperLink has not answered for long.
        """
        if self.clock() - self._asked < ASK_SECONDS and not self.run.finished:
            return Progress(ended=False)
        self._asked = self.clock()
        try:
            progress = self.runs.progress(self.number)
        except ConnectionError:
            return self._without_superlink(self.clock() - self._answered)
        if self._silent:
            self.display.say("the SuperLink answers again; whether the run outlived that shows within two minutes")
        self._answered, self._silent = self.clock(), False
        return progress

    def _without_superlink(self, seconds: float) -> Progress:
        """What is known of the run while the SuperLink doesn't answer, which it may do for a moment."""
        if self.run.finished:
            return Progress(ended=True, completed=True)
        if seconds > LOST_SECONDS:
            self._note(LOST, "the SuperLink does not answer any more")
            raise FederationError(
                f"the SuperLink does not answer any more, after round {self._round()}; see to fedser server, then "
                f"{self.run.resume_hint}"
            )
        if not self._silent:
            self.display.say("the SuperLink does not answer; waiting for it")
        self._silent = True
        return Progress(ended=False)

    def _judge_silence(self, silent: float, warned: bool) -> bool:
        """Say when a run is silent for long; end it when it is for longer than it can be.

        Returns:
            Whether it was said.
        """
        timeout = self.config.federation.round_timeout
        if silent > WAITS * timeout + MEETING_SECONDS:
            self._end(FAILED, "nothing was heard of it")
            raise FederationError(
                f"nothing was heard of the run for {silent:.0f} s, and it was stopped; {self.run.resume_hint}"
            )
        if silent > timeout + MARGIN_SECONDS and not warned:
            self.display.say(
                f"nothing was heard of the run for {silent:.0f} s; fedser federation status tells which sites are there"
            )
            return True
        return warned

    def _show(self, step: Step) -> None:
        rounds = self.run.events()
        if not rounds:
            self.display.say("the sites are met, and make their recordings ready")
            return
        last = rounds[-1]
        uar = f", validation UAR {last['validation']['uar']:.3f}" if last["validation"] else ""
        count = len(last["sites"])
        note = f"by {count} site{'s' if count != 1 else ''}{uar}"
        step.update(last["round"], note, events.rounds_in_all(rounds, self.config))

    def _end(self, state: str, why: str) -> None:
        """Stop the run at the SuperLink, where that can be reached."""
        try:
            self.runs.stop(self.number)
        except ConnectionError:
            state = LOST
        self._note(state, why)

    def _note(self, state: str, why: str = "") -> None:
        now = self.clock()
        self.seconds, self._noted = self.seconds + now - self._noted, now
        self.run.note(RunState(state=state, flower=self.number, why=why, seconds=self.seconds))

    def _round(self) -> int:
        rounds = self.run.events()
        return int(rounds[-1]["round"]) if rounds else 0


@dataclass
class Tail:
    """The lines that are added to a file, each once; what was there before is passed over."""

    path: Path
    _at: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        self._at = self.path.stat().st_size if self.path.exists() else 0

    def lines(self) -> Iterator[str]:
        """The whole lines that were added since the last call."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._at)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._at += len(whole)
        yield from whole.decode(errors="replace").splitlines()
