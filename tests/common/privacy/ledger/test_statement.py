import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from common.errors import BudgetSpent, ChainError, LedgerError
from common.privacy.accounting.accountants import Filter, Spend, epsilon_prv, epsilon_rdp
from common.privacy.ledger.account import Ledger
from common.privacy.ledger.statement import render, show
from common.storage.chained_file import Chain

TERMS = {"unit": "utterance", "sample_rate": 0.1, "noise_multiplier": 1.0, "delta": 1e-5}


def spend(steps: int = 10, noise: float = 1.0, unit: str = "utterance") -> Spend:
    return Spend(unit=unit, sample_rate=0.1, noise_multiplier=noise, steps=steps)


def play(path: Path, run: str, rounds: int, **terms: Any) -> Ledger:
    ledger = Ledger(path)
    kept = ledger.begin(run, {**TERMS, **terms})
    for number in range(rounds):
        with ledger.round(run, number) as entry:
            entry.reserve(spend(noise=kept["noise_multiplier"], unit=kept["unit"]))
            entry.store(b"x")
    return ledger


def printed(view: dict[str, Any], width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(render(view))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_what_was_spent_when_and_by_which_run(tmp_path: Path) -> None:
    path = tmp_path / "charite.jsonl"
    play(path, "first", 2, target_epsilon=8.0)
    ledger = play(path, "second", 1, noise_multiplier=2.0, delta=1e-6, insecure_seed=True)
    with pytest.raises(BudgetSpent), ledger.round("second", 5) as entry:
        entry.reserve(spend(noise=2.0), Filter(0.1, 1e-5))
    with ledger.round("second", 6) as entry:
        entry.reserve(spend(noise=2.0))
    lines = Chain(path).read()

    [seen] = show(path)["ledgers"]
    assert (seen["name"], seen["entries"], seen["head"]) == ("charite", 11, lines[-1]["hash"])
    every = [spend(10), spend(10), spend(10, 2.0)]
    assert seen["units"] == {
        "utterance": {
            "epsilon": epsilon_prv(every, 1e-6),
            "epsilon_rdp": epsilon_rdp(every, 1e-6),
            "delta": 1e-6,
            "steps": 30,
        }
    }
    assert seen["runs"][0] == {
        "run": "first",
        "begun": lines[0]["time"],
        "last": lines[3]["time"],
        "unit": "utterance",
        "rounds": 2,
        "steps": 20,
        "sample_rate": 0.1,
        "noise_multiplier": 1.0,
        "delta": 1e-5,
        "target_epsilon": 8.0,
        "epsilon": epsilon_prv([spend(20)], 1e-5),
        "refused": 0,
        "voided": 0,
        "insecure_seed": False,
    }
    second = seen["runs"][1]
    assert (second["rounds"], second["refused"], second["voided"], second["insecure_seed"]) == (1, 1, 1, True)
    assert second["target_epsilon"] is None
    assert second["epsilon"] == epsilon_prv([spend(10, 2.0)], 1e-6)


def test_three_runs_cost_what_their_steps_cost_together(tmp_path: Path) -> None:
    for run in "abc":
        play(tmp_path / "site.jsonl", run, 2)
    [seen] = show(tmp_path)["ledgers"]
    assert seen["units"]["utterance"]["epsilon"] == epsilon_prv([spend(60)], 1e-5)
    assert seen["units"]["utterance"]["epsilon"] > seen["runs"][0]["epsilon"] == epsilon_prv([spend(20)], 1e-5)


def test_what_was_told_of_a_speaker_is_told_of_each_recording(tmp_path: Path) -> None:
    play(tmp_path / "site.jsonl", "a", 1)
    play(tmp_path / "site.jsonl", "b", 3, unit="speaker", delta=1e-4, noise_multiplier=2.0, budget=20.0)
    [seen] = show(tmp_path)["ledgers"]
    of_recording = epsilon_prv([spend(10), spend(30, 1.0)], 1e-5)  # half of 2
    assert seen["budget_unit"] == "utterance"
    assert seen["budget"] == 20.0
    assert seen["units"]["utterance"]["epsilon"] == of_recording
    assert seen["units"]["speaker"]["epsilon"] is None  # nobody knows how many recordings a speaker has
    assert {unit: of["delta"] for unit, of in seen["units"].items()} == {"speaker": 1e-4, "utterance": 1e-5}
    assert seen["runs"][1]["epsilon"] == epsilon_prv([spend(30, 2.0)], 1e-4)  # of each speaker
    text = " ".join(printed(show(tmp_path), 200))
    assert f"utterance ε {of_recording:.3f}" in text
    assert "speaker ε infinite" in text
    assert "budget 20 for each utterance" in text


def test_no_noise_is_no_bound(tmp_path: Path) -> None:
    play(tmp_path / "site.jsonl", "a", 1, noise_multiplier=0.0)
    view = show(tmp_path)
    assert view["ledgers"][0]["units"]["utterance"]["epsilon"] is None
    assert view["ledgers"][0]["runs"][0]["epsilon"] is None
    json.dumps(view, allow_nan=False)
    assert "ε infinite" in "\n".join(printed(view))


def test_a_run_that_has_begun_only(tmp_path: Path) -> None:
    play(tmp_path / "site.jsonl", "a", 0)
    [seen] = show(tmp_path)["ledgers"]
    assert (seen["runs"][0]["last"], seen["runs"][0]["epsilon"], seen["units"]["utterance"]["epsilon"]) == (None, 0, 0)


def test_a_folder_of_ledgers_and_that_of_a_run(tmp_path: Path) -> None:
    play(tmp_path / "ledger" / "fold-2" / "b.jsonl", "a", 1)
    play(tmp_path / "ledger" / "fold-1" / "b.jsonl", "a", 1)
    play(tmp_path / "ledger" / "a.jsonl", "a", 0)
    (tmp_path / "events.jsonl").write_text('{"round": 1}\n')
    names = ["a", "fold-1/b", "fold-2/b"]
    assert [ledger["name"] for ledger in show(tmp_path)["ledgers"]] == names
    assert show(tmp_path / "ledger") == show(tmp_path)
    assert [ledger["name"] for ledger in show(tmp_path / "ledger" / "fold-1")["ledgers"]] == ["b"]


@pytest.mark.parametrize("name", ["none", "none.jsonl", "empty"])
def test_where_there_is_no_ledger(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LedgerError, match=rf"^no ledger at {tmp_path / name}, expected a ledger's .jsonl file or a fo"):
        show(tmp_path / name)


@pytest.mark.parametrize("content", ["{}", "{}\n", '{"epsilon": 1}', "\x00"])
def test_a_file_that_is_no_ledger(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.jsonl").write_text(content)
    with pytest.raises(LedgerError, match=r"x\.jsonl(: line 1 is no line of a hash chain| has no whole line)"):
        show(tmp_path / "x.jsonl")


def test_a_changed_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "b.jsonl"
    play(path, "a", 2)
    play(tmp_path / "ledger" / "a.jsonl", "a", 2)
    path.write_bytes(path.read_bytes().replace(b'"steps": 10', b'"steps": 11', 1))
    with pytest.raises(ChainError, match=r"ledger/b.jsonl: line 2 was edited"):
        show(tmp_path)


def test_looking_changes_nothing_and_needs_no_lock(tmp_path: Path) -> None:
    ledger = play(tmp_path / "site.jsonl", "a", 1)
    with ledger.round("a", 5) as entry:
        entry.reserve(spend())
        before = ledger.path.read_bytes()
        assert show(tmp_path)["ledgers"][0]["units"]["utterance"]["steps"] == 20
        assert ledger.path.read_bytes() == before


def test_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "charite.jsonl"
    play(path, "0123456789abcdef", 2)
    play(path, "second", 1, insecure_seed=True)
    begun = Chain(path).read()[0]["time"][:16].replace("T", " ")
    head, header, first, *second = printed(show(tmp_path), 100)
    whole, alone = epsilon_prv([spend(30)], 1e-5), epsilon_prv([spend(20)], 1e-5)
    by_rdp = epsilon_rdp([spend(30)], 1e-5)
    assert head.startswith(f"charite  utterance ε {whole:.3f}, RDP {by_rdp:.3f}, δ 1e-05; 8 lines, head ")
    assert header.split() == ["run", "begun", "(UTC)", "rounds", "steps", "rate", "noise", "ε", "unit"]
    assert first.split() == ["0123456789abcdef", *begun.split(), "2", "20", "0.1", "1", f"{alone:.3f}", "utterance"]
    assert "INSECURE SEED" in " ".join(second)


def test_twelve_ledgers_of_two_runs_fit_a_screen(tmp_path: Path) -> None:
    for site in range(12):
        for run in ("0123456789abcdef", "fedcba9876543210"):
            play(tmp_path / f"site-{site}.jsonl", run, 0)
    lines = printed(show(tmp_path))
    assert len(lines) == 12 * 3 + 1
    assert max(map(len, lines)) <= 80


def test_of_many_runs_only_the_ledgers_or_the_last_are_shown(tmp_path: Path) -> None:
    for run in range(42):
        play(tmp_path / "a.jsonl", f"run-{run}", 0)
    lines = printed(show(tmp_path))
    assert lines[2].startswith("run-2 ")
    assert lines[41].startswith("run-41 ")
    assert lines[42:] == ["and 2 earlier runs; --json lists all"]
    play(tmp_path / "b.jsonl", "run", 0)
    lines = printed(show(tmp_path))
    assert len(lines) == 3
    assert lines[2] == "43 runs in 2 ledgers; give one ledger to see its runs, or --json"


def test_runs_that_take_everybody_and_one_that_samples_are_one_statement(tmp_path: Path) -> None:
    """Six runs of the defaults that hide speakers are one step of little noise."""
    ledger = Ledger(tmp_path / "site.jsonl")
    for run, rate, noise in [*((f"all-{number}", 1.0, 6.0) for number in range(6)), ("sampled", 0.5, 2.0)]:
        ledger.begin(run, {"unit": "speaker", "sample_rate": rate, "noise_multiplier": noise, "delta": 1e-5})
        with ledger.round(run, 1) as entry:
            entry.reserve(Spend(unit="speaker", sample_rate=rate, noise_multiplier=noise, steps=100))
            entry.store(b"x")
    [seen] = show(ledger.path)["ledgers"]
    [unit] = seen["units"].values()
    assert 20 < unit["epsilon"] <= unit["epsilon_rdp"] < 100
