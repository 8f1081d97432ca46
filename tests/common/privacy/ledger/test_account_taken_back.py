import shutil
from pathlib import Path
from typing import Any

import pytest

from common.errors import ChainError, LedgerError
from common.privacy.ledger.account import Ledger
from common.storage.chained_file import Chain
from common.storage.hash_chain import Head
from tests.common.privacy.ledgers import STEPS, TERMS, make, play, replies


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
    lock = Chain._acquire

    def late(chain: Chain) -> int:
        chain.path.write_bytes(older)
        return lock(chain)

    monkeypatch.setattr(Chain, "_acquire", late)
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
