"""What goes wrong in a federation of real processes, and what is held then; ``docker/e2e.sh`` has the other faults."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

import numpy as np
import pytest
import safetensors.numpy

from common.privacy.ledger.account import Ledger
from tests.faults.federation import ROUNDS, SITES, Federation
from tests.server.federation.coordinator import wait

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]
RUNS = ("few", "undisturbed")


def kill(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ended(process: subprocess.Popen[str], seconds: float = 240.0) -> str:
    """What a run said that had to end by itself."""
    told, _ = process.communicate(timeout=seconds)
    return told


def test_a_site_that_is_far_too_slow_does_not_hold_the_others_up(
    whole: Federation,
) -> None:
    site = whole.sites["s2"]
    began = time.monotonic()
    with whole.running("slow", "--round-timeout", "10") as process:
        whole.until(lambda: len(whole.rounds("slow")) >= 1)
        site.signal(signal.SIGSTOP)
        whole.until(lambda: any("s2" not in line["sites"] for line in whole.rounds("slow")))
        site.signal(signal.SIGCONT)
        told = ended(process)
    assert process.returncode == 0, told
    # Named, whether its answer was late or the SuperLink had given it up before.
    assert any(words in told for words in ("no answer in time from s2", "s2: update refused", "not connected: s2"))
    assert time.monotonic() - began < 60 + ROUNDS * 90
    fold = whole.result("slow")["folds"][0]
    assert len(fold["refit"]) == fold["chosen_round"]  # the sites train again, with their validation speakers
    assert [line["round"] for line in whole.rounds("slow")] == list(range(1, ROUNDS + fold["chosen_round"] + 1))
    whole.until(lambda: whole.online() == set(SITES))


def test_a_round_with_too_few_ends_the_run_which_goes_on_to_the_same_model(whole: Federation) -> None:
    site, own = whole.sites["s2"], ["--min-sites", "3", "--no-refit"]
    with whole.running("few", "--round-timeout", "10", *own) as process:
        whole.until(lambda: len(whole.rounds("few")) >= 1)
        site.signal(signal.SIGSTOP)
        told = ended(process)
    site.signal(signal.SIGCONT)
    assert process.returncode == 1, told
    assert "expected at least 3" in told
    assert "--resume few" in told
    whole.until(lambda: whole.online() == set(SITES))
    whole.run("few", "--resume", "few")
    assert [line["round"] for line in whole.rounds("few")] == list(range(1, ROUNDS + 1))
    whole.run("undisturbed", *own)
    first, second = (safetensors.numpy.load_file(whole.folder.runs / name / "model.safetensors") for name in RUNS)
    assert all(np.array_equal(first[name], second[name]) for name in first.keys() | second.keys())


def test_no_site_spends_twice_for_a_round_that_is_run_again(whole: Federation) -> None:
    private = ["--epsilon", "8"]
    before = {name: steps(whole, name) for name in SITES}
    settings = whole.settings.read_text().replace("batch_size = 4", "local_epochs = 1")
    whole.settings.with_name("private.toml").write_text(settings)
    own = [*private, "--config", str(whole.settings.with_name("private.toml"))]
    with whole.running("private", *own) as process:
        whole.until(lambda: len(whole.rounds("private")) >= 1)
        wait(lambda: any(steps(whole, name) > before[name] + 4 for name in SITES))  # in mid-round
        kill(whole.processes("flwr-serverapp"))
        ended(process)
    whole.run("private", "--resume", "private")
    told = whole.result("private")["folds"][0]["privacy"]["sites"]
    spent = {name: steps(whole, name) - before[name] for name in SITES}
    assert spent == dict.fromkeys(SITES, 4 * ROUNDS)  # four steps a round
    assert all(told[name]["epsilon"] is None for name in SITES)  # the kits' policy keeps it at the site
    assert whole.result("private")["folds"][0]["rounds"][0]["sites"]["s0"]["loss"] is None


def steps(whole: Federation, name: str) -> int:
    path = whole.sites[name].ledger / f"{name}.jsonl"
    return sum(spend.steps for spend in Ledger(path).spends("utterance")) if path.exists() else 0
