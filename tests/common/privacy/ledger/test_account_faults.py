import dataclasses
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest

from common.errors import BudgetSpent, CutShort, FedserError
from common.privacy.accounting.accountants import Filter, epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.ledger.replies import Replies
from common.storage import atomic
from common.storage.chained_file import Writer
from common.storage.hash_chain import Entry
from tests.common.privacy.ledgers import STEPS, fail, kinds, make, play, replies


def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def torn_from(word: bytes) -> Callable[[int, bytes, int], int]:
    """An ``os.pwrite`` that is killed in the middle of a line."""
    real = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if word not in data:
            return real(descriptor, data, offset)
        real(descriptor, data[:50], offset)
        die()
        return 0

    return pwrite


def killed_at(line: str) -> Callable[..., Entry]:
    """A ``Writer.append`` that is killed before it writes a line of this kind."""
    real = Writer.append

    def append(self: Writer, kind: str, **payload: Any) -> Entry:
        if kind == line:
            die()
        return real(self, kind, **payload)

    return append


@dataclasses.dataclass(frozen=True)
class Death:
    """Where a process dies: in a function that something else stands for, or, without a function, as it computes."""

    owner: Any
    name: str
    stand_in: Any
    counts: bool  # the round's reply lies on the disk


DEATHS = {
    "before the reservation": Death(Writer, "append", killed_at("reserve"), counts=False),
    "in the middle of the reservation": Death(os, "pwrite", torn_from(b"reserve"), counts=False),
    "while it computes": Death(time, "sleep", die, counts=False),
    "before the reply is in place": Death(Path, "replace", die, counts=False),
    "before the folder is synced": Death(atomic, "sync_folder", die, counts=True),
    "before the line of the reply": Death(Writer, "append", killed_at("store"), counts=True),
    "in the middle of the line of the reply": Death(os, "pwrite", torn_from(b"store"), counts=True),
    "before older replies go": Death(Replies, "tidy", die, counts=True),
    "before it is sent": Death(os, "write", die, counts=True),
}


def in_a_process(action: Callable[..., None], *arguments: object) -> ForkProcess:
    """Another process, with locks of its own."""
    process = multiprocessing.get_context("fork").Process(target=action, args=arguments)
    process.start()
    return process


def ended(process: ForkProcess) -> int | None:
    process.join(60)
    return process.exitcode


def play_and_die(folder: Path, death: Death) -> None:
    setattr(death.owner, death.name, death.stand_in)
    with Ledger(folder / "site.jsonl").round("run", 2) as entry:
        entry.reserve(STEPS)
        time.sleep(0)  # computes
        entry.store(b"weights")
    os.write(1, b"sent")


@pytest.mark.parametrize("where", DEATHS)
def test_a_killed_process_loses_no_step_and_counts_none_that_released_nothing(tmp_path: Path, where: str) -> None:
    play(make(tmp_path), 1)
    assert ended(in_a_process(play_and_die, tmp_path, DEATHS[where])) == -signal.SIGKILL
    ledger = Ledger(tmp_path / "site.jsonl", timeout=1)
    again = play(ledger, 2, reply=b"computed anew")
    assert again == (b"weights" if DEATHS[where].counts else b"computed anew")
    assert ledger.spends("utterance") == [STEPS, STEPS]
    assert kinds(ledger).count("store") == 2
    assert replies(ledger) == ["run-1", "run-2"]


@pytest.mark.parametrize("where", ["while it computes", "before the line of the reply"])
def test_a_killed_round_that_nobody_asks_for_again(tmp_path: Path, where: str) -> None:
    play(make(tmp_path), 1)
    assert ended(in_a_process(play_and_die, tmp_path, DEATHS[where])) == -signal.SIGKILL
    ledger = Ledger(tmp_path / "site.jsonl", timeout=1)
    assert len(ledger.spends("utterance")) == 2  # it counts as long as nobody has looked
    play(ledger, 3)
    assert len(ledger.spends("utterance")) == (3 if DEATHS[where].counts else 2)


def race(path: Path) -> None:
    """Exits with 0 if it spent, and with 3 if it was refused."""
    while not path.with_name("go").exists():
        time.sleep(0.001)
    try:
        with Ledger(path).round("run", os.getpid()) as entry:
            entry.reserve(STEPS, Filter(epsilon_rdp([STEPS], 1e-5), 1e-5))
            time.sleep(0.2)
            entry.store(b"x")
    except BudgetSpent:
        os._exit(3)


def test_processes_that_race_for_one_round_of_budget(tmp_path: Path) -> None:
    path = make(tmp_path).path
    racers = [in_a_process(race, path) for _ in range(4)]
    (tmp_path / "go").touch()
    assert sorted(str(ended(racer)) for racer in racers) == ["0", "3", "3", "3"]
    assert Ledger(path).spends("utterance") == [STEPS]


def test_processes_that_race_for_the_same_round(tmp_path: Path) -> None:
    make(tmp_path)

    def once(reply: bytes) -> None:
        sent = play(Ledger(tmp_path / "site.jsonl"), 1, reply=reply)
        (tmp_path / reply.decode()).write_bytes(sent)

    racers = [in_a_process(once, b"%d" % number) for number in range(4)]
    assert [ended(racer) for racer in racers] == [0] * 4
    assert len({(tmp_path / str(number)).read_bytes() for number in range(4)}) == 1
    assert make(tmp_path).spends("utterance") == [STEPS]


def test_nobody_voids_a_round_that_is_being_computed(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    with ledger.round("run", 1) as entry:
        entry.reserve(STEPS)
        with (
            pytest.raises(FedserError, match="in use by another process"),
            Ledger(ledger.path, timeout=0.1).round("run", 1),
        ):
            pytest.fail("entered")
        assert Ledger(ledger.path).spends("utterance") == [STEPS]  # which needs no lock
        entry.store(b"x")
    assert kinds(ledger) == ["begin", "reserve", "store"]


def limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill_up(folder: Path, when: str, room: int) -> None:
    """Exits with 3 if the disk was full, and it said so in one clear line."""
    path = folder / "site.jsonl"
    try:
        with Ledger(path).round("run", 2) as entry:
            if when == "reserve":
                limit(path.stat().st_size + room)
            entry.reserve(STEPS)
            limit(path.stat().st_size + room)
            entry.store(b"weights" * 1000)
    except FedserError as error:
        wanted = "cannot be written: File too large; free space there or choose another folder"
        os._exit(3 if wanted in str(error) and "\n" not in str(error) else 4)


@pytest.mark.parametrize(("when", "room"), [("reserve", 0), ("reserve", 20), ("store", 0), ("store", 4000)])
def test_a_full_disk_spends_nothing(tmp_path: Path, when: str, room: int) -> None:
    play(make(tmp_path), 1)
    assert ended(in_a_process(fill_up, tmp_path, when, room)) == 3
    ledger = Ledger(tmp_path / "site.jsonl")
    assert play(ledger, 2, reply=b"anew") == b"anew"
    assert ledger.spends("utterance") == [STEPS, STEPS]
    assert not list(tmp_path.rglob(".partial-*"))


def test_a_disk_that_fills_up_after_the_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply lies on the disk and its line does not: it was not sent, but could be taken for released. It counts."""
    ledger = make(tmp_path)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    write = atomic.write

    def then_full(*arguments: Any, **options: Any) -> None:
        write(*arguments, **options)
        monkeypatch.setattr(os, "pwrite", full)

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "write", then_full)
        with pytest.raises(FedserError, match="No space left"):
            play(ledger, 1, reply=b"first")
    monkeypatch.undo()
    assert ledger.spends("utterance") == [STEPS]
    assert play(ledger, 1, reply=b"second") == b"first"


def test_a_ledger_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FedserError, match=r"site.jsonl cannot be (read|written)") as refused:
        make(tmp_path / "file")
    assert "\n" not in str(refused.value)


def play_cut(folder: Path, number: int, most: int | None) -> None:
    """Exits with 3 if the run gets no more steps."""
    ledger = Ledger(folder / "site.jsonl", most_voided=most)
    try:
        with ledger.round("run", number) as entry:
            entry.reserve(STEPS)
            die()
    except CutShort as error:
        os._exit(3 if "3 of its rounds were cut short here" in str(error) else 4)


def test_after_two_kills_the_third_ones_steps_stay_spent_and_the_run_is_over_here(tmp_path: Path) -> None:
    """Each kill may be an answer to whoever brought it about: of a run there are three, and one is paid for."""
    make(tmp_path)
    make(tmp_path, "another")
    for number in (1, 1, 2):
        assert ended(in_a_process(play_cut, tmp_path, number, 2)) == -signal.SIGKILL
    for number in (2, 3, 2):
        assert ended(in_a_process(play_cut, tmp_path, number, 2)) == 3
    ledger = Ledger(tmp_path / "site.jsonl", most_voided=2)
    assert ledger.spends("utterance", "run") == [STEPS]
    assert ledger.refused("run")
    assert kinds(ledger).count("void") == 2
    assert play(ledger, 1, "another") == b"reply"
    assert ledger.spends("utterance") == [STEPS, STEPS]


def test_rounds_that_were_sent_are_no_kills_and_without_a_limit_there_is_none(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    for number in range(1, 7):
        assert ended(in_a_process(play_cut, tmp_path, number, None)) == -signal.SIGKILL
        play(ledger, number)
    assert len(ledger.spends("utterance")) == 6


def test_a_round_that_fails_counts_as_one_that_is_killed(tmp_path: Path) -> None:
    make(tmp_path)
    ledger = Ledger(tmp_path / "site.jsonl", most_voided=2)
    for number in (1, 2, 3):
        fail(ledger, number)
    with pytest.raises(CutShort, match="3 of its rounds were cut short here, by a kill or a full disk"):
        play(ledger, 4)
    assert ledger.spends("utterance") == [STEPS]
