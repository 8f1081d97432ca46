import contextlib
import dataclasses
import json
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest

from common import atomic
from common.chain import Entry, Head
from common.chain_file import Chain, Writer
from common.errors import BudgetSpent, ChainError, FedserError, LedgerError, UsageError
from common.privacy.accounting import Filter, Spend, epsilon_rdp
from common.privacy.ledger import Ledger
from common.privacy.replies import Replies

TERMS = {"unit": "utterance", "sample_rate": 0.1, "noise_multiplier": 1.0, "delta": 1e-5}
STEPS = Spend(unit="utterance", sample_rate=0.1, noise_multiplier=1.0, steps=10)
SITE = Spend(unit="site", sample_rate=1.0, noise_multiplier=5.0, steps=1)


def make(folder: Path, run: str = "run", **terms: Any) -> Ledger:
    ledger = Ledger(folder / "site.jsonl")
    ledger.begin(run, {**TERMS, **terms})
    return ledger


def fail(ledger: Ledger, number: int, budget: Filter | None = None, *, reply: bytes | None = None) -> None:
    """A round that fails after it reserved, or, with a reply, after it stored that."""
    with contextlib.suppress(ZeroDivisionError), ledger.round("run", number) as entry:
        entry.reserve(STEPS, budget)
        if reply is not None:
            entry.store(reply)
        raise ZeroDivisionError


def play(ledger: Ledger, number: int, run: str = "run", reply: bytes = b"reply") -> bytes:
    """A round as a site plays it."""
    with ledger.round(run, number) as entry:
        sent = entry.reply
        if sent is None:
            entry.reserve(STEPS)
            sent = reply
            entry.store(sent)
    return sent


def kinds(ledger: Ledger) -> list[str]:
    return [entry["kind"] for entry in Chain(ledger.path).read()]


def replies(ledger: Ledger) -> list[str]:
    folder = ledger.path.with_name("site.jsonl.replies")
    return sorted(path.name.partition(".")[0] for path in folder.iterdir())


# In order: reserve, compute, store, send


def test_a_round_is_reserved_computed_and_stored(tmp_path: Path) -> None:
    ledger = make(tmp_path / "new" / "folder")
    with ledger.round("run", 3) as entry:
        before = entry.reply
        entry.reserve(STEPS)
        assert kinds(ledger) == ["begin", "reserve"]
        assert ledger.spends("utterance") == [STEPS]
        entry.store(b"weights")
        assert (before, entry.reply) == (None, b"weights")
    assert [{k: v for k, v in e.items() if k not in ("time", "prev", "hash")} for e in Chain(ledger.path).read()] == [
        {"n": 1, "kind": "begin", "run": "run", "terms": TERMS},
        {
            "n": 2,
            "kind": "reserve",
            "run": "run",
            "round": 3,
            "unit": "utterance",
            "sample_rate": 0.1,
            "noise_multiplier": 1.0,
            "steps": 10,
        },
        {
            "n": 3,
            "kind": "store",
            "run": "run",
            "round": 3,
            "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
        },
    ]
    assert Ledger(ledger.path).head() == ledger.head()
    assert ledger.head().entries == 3


def test_a_stored_reply_is_sent_again_and_never_computed_again(tmp_path: Path) -> None:
    assert play(make(tmp_path), 1, reply=b"first") == b"first"
    ledger = make(tmp_path)
    assert play(ledger, 1, reply=b"second") == b"first"
    assert ledger.spends("utterance") == [STEPS]
    with ledger.round("run", 1) as entry:
        with pytest.raises(LedgerError, match=r"round 1 of run run has its steps in .*site.jsonl; they are not spent"):
            entry.reserve(STEPS)
        with pytest.raises(LedgerError, match=r"round 1 of run run is not reserved .* nothing may be released"):
            entry.store(b"second")
    assert play(ledger, 1) == b"first"


def test_the_same_round_of_another_run_counts_by_itself(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    make(tmp_path, "other-1")  # a name that could be taken for a round's
    assert play(ledger, 1, reply=b"a") == b"a"
    assert play(ledger, 1, "other-1", b"b") == b"b"
    assert play(ledger, 7, reply=b"c") == b"c"  # rounds may be skipped
    assert (play(ledger, 1), play(ledger, 1, "other-1"), play(ledger, 7)) == (b"a", b"b", b"c")
    assert len(ledger.spends("utterance")) == 3
    assert ledger.spends("utterance", "run") == [STEPS, STEPS]
    assert ledger.spends("utterance", "none") == []


def test_budgets_are_kept_by_unit(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    play(ledger, 1)
    ledger.begin("sites", {"unit": "site", "sample_rate": 1.0, "noise_multiplier": 5.0, "delta": 1e-5})
    budget = Filter(epsilon_rdp([SITE], 1e-5), 1e-5)
    with ledger.round("sites", 1) as entry:
        entry.reserve(SITE, budget)
        entry.store(b"model")
    assert ledger.spends("site") == [SITE]
    assert ledger.spends("utterance") == [STEPS]


def test_what_fails_before_it_is_stored_does_not_count(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    fail(ledger, 1)
    assert kinds(ledger) == ["begin", "reserve", "void"]
    assert ledger.spends("utterance") == []
    with ledger.round("run", 1) as entry:
        entry.reserve(STEPS)
    assert kinds(ledger)[3:] == ["reserve", "void"]
    play(ledger, 1)
    assert ledger.spends("utterance") == [STEPS]


def test_what_fails_after_it_is_stored_counts(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    fail(ledger, 1, reply=b"weights")
    assert ledger.spends("utterance") == [STEPS]
    assert play(ledger, 1) == b"weights"


# Terms


def test_a_run_keeps_the_terms_that_it_began_with(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    assert ledger.terms("run") == TERMS
    assert ledger.terms("other") is None
    assert ledger.begin("run", {**TERMS, "noise_multiplier": 0.1}) == TERMS
    assert Ledger(ledger.path).begin("run", {**TERMS, "delta": 0.1}) == TERMS
    assert kinds(ledger) == ["begin"]
    assert ledger.begin("other", {**TERMS, "more": [1, None]})["more"] == [1, None]


def test_a_run_may_begin_within_its_round(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "site.jsonl", timeout=1)
    with ledger.round("run", 1) as entry:
        assert ledger.terms("run") is None
        ledger.begin("run", TERMS)
        assert ledger.terms("run") == TERMS
        entry.reserve(STEPS)
        assert ledger.spends("utterance") == [STEPS]
        entry.store(b"x")
    assert kinds(ledger) == ["begin", "reserve", "store"]


@pytest.mark.parametrize("run", ["", "../up", "a/b", ".hidden", "a" * 65, "a\n", "a b", "ü"])
def test_a_runs_name_is_fit_for_a_file(tmp_path: Path, run: str) -> None:
    ledger = Ledger(tmp_path / "site.jsonl")
    with pytest.raises(UsageError, match=r"the run is named .* expected up to 64 letters, digits"):
        ledger.begin(run, TERMS)
    with pytest.raises(LedgerError, match="has not begun"), ledger.round(run, 1) as entry:
        entry.reserve(STEPS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["site.jsonl"]


def test_a_rounds_number_is_not_negative(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="round is -1, expected 0 to"), make(tmp_path).round("run", -1):
        pytest.fail("entered")


def test_terms_that_lack_something(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the terms of run run lack sample_rate, delta"):
        Ledger(tmp_path / "site.jsonl").begin("run", {"unit": "utterance", "noise_multiplier": 1.0})


def test_steps_follow_the_terms(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    for other in (SITE, Spend(unit="utterance", sample_rate=0.1, noise_multiplier=0.5, steps=10)):
        with ledger.round("run", 1) as entry, pytest.raises(LedgerError, match=r"run run began with .* cannot go on"):
            entry.reserve(other)
    with ledger.round("new", 1) as entry, pytest.raises(LedgerError, match=r"run new has not begun in .* fixed first"):
        entry.reserve(STEPS)
    assert kinds(ledger) == ["begin"]


def test_a_run_spends_no_more_than_it_planned(tmp_path: Path) -> None:
    ledger = make(tmp_path, rounds=2, steps_per_round=10)
    play(ledger, 1)
    fail(ledger, 2)
    play(ledger, 2)
    with pytest.raises(BudgetSpent, match="round 3 of run run is refused: 20 of the run's 20 planned steps are spent"):
        play(ledger, 3)
    make(tmp_path, "other")
    play(ledger, 3, "other")
    assert len(ledger.spends("utterance")) == 3


# Budgets


def test_a_budget_stops_before_the_step_that_would_pass_it(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    budget = Filter(epsilon_rdp([STEPS] * 3, 1e-5), 1e-5)
    done = 0
    for number in range(1, 6):
        try:
            with ledger.round("run", number) as entry:
                entry.reserve(STEPS, budget)
                entry.store(b"x")
                done += 1
        except BudgetSpent as refused:
            assert "is refused: it would pass the budget of ε = " in str(refused)  # noqa: PT017 - for some rounds only
    assert done == 3
    assert kinds(ledger)[-2:] == ["refuse", "refuse"]
    assert ledger.refused("run")
    assert not ledger.refused("other")
    assert ledger.spends("utterance") == [STEPS] * 3


def test_a_voided_round_is_no_part_of_the_budget(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    budget = Filter(epsilon_rdp([STEPS], 1e-5), 1e-5)
    for _ in range(3):
        fail(ledger, 1, budget)
    with ledger.round("run", 2) as entry:
        entry.reserve(STEPS, budget)
        entry.store(b"x")
    with ledger.round("run", 1) as entry, pytest.raises(BudgetSpent):
        entry.reserve(STEPS, budget)


# Fails closed


def test_a_ledger_that_only_grew_is_taken(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    early = ledger.head()
    play(ledger, 1)
    for expected in (early, ledger.head(), Head(entries=0, hash="0" * 64)):
        play(Ledger(ledger.path, expected=expected), 1)


def test_a_missing_older_or_other_ledger_fails_closed(tmp_path: Path) -> None:
    ledger = make(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "older")
    play(ledger, 1)
    head = ledger.head()
    play(make(tmp_path / "other"), 1)
    for name, found in (("missing", "is missing"), ("older", "has 1 lines"), ("other", "has another line 3")):
        path = tmp_path / name / "site.jsonl"
        with pytest.raises(LedgerError, match=rf"{path} {found}, but this site reported 3 lines .* put that back"):
            Ledger(path, expected=head)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("how", ["older", "missing"])
def test_a_ledger_that_is_taken_back_while_it_is_open_fails_closed(tmp_path: Path, how: str) -> None:
    ledger = make(tmp_path)
    older = ledger.path.read_bytes()
    play(ledger, 1)
    opened = Ledger(ledger.path, expected=ledger.head())
    if how == "older":
        ledger.path.write_bytes(older)
    else:
        ledger.path.unlink()
    for use in (lambda: play(opened, 2), lambda: opened.begin("new", TERMS), lambda: opened.spends("utterance")):
        with pytest.raises(LedgerError, match="this site reported 3 lines"):
            use()
    assert ledger.path.exists() == (how == "older")


def test_a_ledger_that_is_taken_back_while_another_process_has_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = make(tmp_path)
    older = ledger.path.read_bytes()
    make(tmp_path, "other")
    opened = Ledger(ledger.path, expected=ledger.head())
    lock = Chain._lock

    def late(chain: Chain) -> int:
        chain.path.write_bytes(older)
        return lock(chain)

    monkeypatch.setattr(Chain, "_lock", late)
    with pytest.raises(LedgerError, match="has 1 lines, but this site reported 2 lines"):
        play(opened, 1)


def test_replies_tell_that_the_ledger_is_an_older_copy(tmp_path: Path) -> None:
    """Even where the site never reported its head."""
    ledger = make(tmp_path)
    older = ledger.path.read_bytes()
    play(ledger, 1)
    ledger.path.write_bytes(older)
    with pytest.raises(LedgerError, match=r"site.jsonl knows nothing of round 1 of run run, whose reply lies in"):
        play(ledger, 2)
    ledger.path.unlink()
    with pytest.raises(LedgerError, match="is not the newest copy"):
        play(make(tmp_path), 1)
    assert ledger.spends("utterance") == []


def test_a_changed_line_fails_closed(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    play(ledger, 1)
    ledger.path.write_bytes(ledger.path.read_bytes().replace(b'"steps": 10', b'"steps": 01'))
    for use in (lambda: Ledger(ledger.path), lambda: play(ledger, 2), lambda: ledger.head()):
        with pytest.raises(ChainError, match=r"site.jsonl: line 2"):
            use()


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("refund", {"run": "run", "round": 1}),
        ("reserve", {"run": "run", "round": 1}),
        ("reserve", {**TERMS, "run": "run", "round": 1, "steps": -5}),
        ("void", {"run": "run", "round": 1}),
        ("store", {"run": "run", "round": 1, "sha256": ""}),
        ("begin", {"run": "new", "terms": {}}),
        ("begin", {"run": ["new"], "terms": TERMS}),
        ("note", {}),
    ],
)
def test_a_line_that_is_none_of_a_ledgers_fails_closed(tmp_path: Path, kind: str, payload: dict[str, Any]) -> None:
    ledger = make(tmp_path)
    Chain(ledger.path).append(kind, **payload)
    with pytest.raises(LedgerError, match=rf"site.jsonl: line 2 \({kind}\) is none of a ledger's"):
        Ledger(ledger.path)


# Replies


def test_the_replies_of_the_last_two_rounds_of_each_run_are_kept(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    make(tmp_path, "other")
    play(ledger, 1, "other")
    for number in (1, 2, 5, 6):
        play(ledger, number, reply=b"%d" % number)
    assert replies(ledger) == ["other-1", "run-5", "run-6"]
    assert (play(ledger, 5), play(ledger, 6)) == (b"5", b"6")
    with pytest.raises(LedgerError, match=r"round 2 of run run was released before and is not computed twice") as gone:
        play(ledger, 2)
    assert "go on from a later round" in str(gone.value)
    assert len(ledger.spends("utterance", "run")) == 4


@pytest.mark.parametrize("how", ["damaged", "cut short", "missing"])
def test_a_reply_that_is_not_what_was_stored_is_not_sent(tmp_path: Path, how: str) -> None:
    ledger = make(tmp_path)
    play(ledger, 1, reply=b"weights")
    [path] = (tmp_path / "site.jsonl.replies").iterdir()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(b"weighty" if how == "damaged" else b"")
    with pytest.raises(LedgerError, match="was released before" if how == "missing" else "was damaged or edited"):
        play(ledger, 1)
    assert ledger.spends("utterance") == [STEPS]
    play(ledger, 2)


def test_files_that_a_kill_or_a_stranger_left_among_the_replies(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    play(ledger, 1)
    folder = tmp_path / "site.jsonl.replies"
    (folder / ".partial-0123").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    play(ledger, 2)
    assert replies(ledger) == ["notes", "run-1", "run-2"]


# Processes that die, that race, and disks that are full


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


def test_lines_are_plain_json(tmp_path: Path) -> None:
    ledger = make(tmp_path)
    play(ledger, 1)
    assert [json.loads(line)["kind"] for line in ledger.path.read_text().splitlines()] == ["begin", "reserve", "store"]
