"""What goes wrong in a federation of real processes, and what is held then."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from common.chain_file import Chain
from common.privacy.ledger import Ledger
from tests.faults.federation import ROUNDS, SITES, Federation, federation, fedser
from tests.server.federation.coordinator import wait

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with federation(tmp_path_factory.mktemp("federation")) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(whole: Federation) -> dict[str, np.ndarray[Any, Any]]:
    """The model of a run in which nothing goes wrong."""
    whole.run("undisturbed")
    return model(whole, "undisturbed")


def model(whole: Federation, name: str) -> dict[str, np.ndarray[Any, Any]]:
    found: dict[str, np.ndarray[Any, Any]] = safetensors.numpy.load_file(whole.folder.runs / name / "model.safetensors")
    return found


def same(left: dict[str, np.ndarray[Any, Any]], right: dict[str, np.ndarray[Any, Any]]) -> None:
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_allclose(array, right[name], rtol=0, atol=1e-5)


def kill(pids: list[int]) -> None:
    assert pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def ended(process: subprocess.Popen[str], seconds: float = 240.0) -> str:
    """What a run said that had to end by itself."""
    told, _ = process.communicate(timeout=seconds)
    return told


def test_it_trains_the_model_that_a_simulation_trains(
    whole: Federation, undisturbed: dict[str, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    own = ["--corpus", "manifest", "--root", str(whole.manifest), "--sites", "column", "--held-out", "split"]
    fedser("simulate", *own, "--config", str(whole.settings), "--out", str(tmp_path / "simulated"))
    same(safetensors.numpy.load_file(tmp_path / "simulated/model.safetensors"), undisturbed)


def test_what_a_run_leaves_counts_speakers_by_site(
    whole: Federation, undisturbed: dict[str, np.ndarray[Any, Any]]
) -> None:
    result = whole.result("undisturbed")
    [fold] = result["folds"]
    assert set(fold["train_speakers"]) == set(fold["validation_speakers"]) == set(SITES)
    assert len(fold["rounds"]) == ROUNDS
    assert (whole.folder.runs / "undisturbed/report.html").read_text().lower().startswith("<!doctype html>")
    audit = Chain(whole.folder.runs / "undisturbed/audit.jsonl").read()
    assert [line["kind"] for line in audit] == ["start", *["round"] * ROUNDS]
    for name in SITES:
        done = fedser("site", "audit", "verify", "--kit", str(whole.sites[name].home / "kit"), "--json")
        assert '"fault": null' in done.stdout


def test_the_superlink_is_killed_in_mid_run(whole: Federation, undisturbed: dict[str, np.ndarray[Any, Any]]) -> None:
    with whole.running("superlink") as process:
        whole.until(lambda: len(whole.rounds("superlink")) >= 2)
        kill(whole.processes("flower-superlink"))
        told = ended(process)
    assert process.returncode == 1
    assert "--resume" in told
    assert "Traceback" not in told
    before = len(whole.rounds("superlink"))
    whole.until(lambda: whole.online() == set(SITES))
    whole.run("superlink", "--resume", "superlink")
    assert 2 <= before < ROUNDS
    assert [line["round"] for line in whole.rounds("superlink")] == list(range(1, ROUNDS + 1))
    same(model(whole, "superlink"), undisturbed)


def test_the_server_app_is_killed_in_mid_round(whole: Federation, undisturbed: dict[str, np.ndarray[Any, Any]]) -> None:
    with whole.running("serverapp") as process:
        whole.until(lambda: len(whole.rounds("serverapp")) >= 1)
        kill(whole.processes("flwr-serverapp"))
        told = ended(process)
    assert process.returncode == 1
    assert "--resume" in told
    whole.run("serverapp", "--resume", "serverapp")
    same(model(whole, "serverapp"), undisturbed)


def test_a_site_is_killed_in_mid_round_and_comes_back(
    whole: Federation, undisturbed: dict[str, np.ndarray[Any, Any]]
) -> None:
    site = whole.sites["s1"]
    with whole.running("killed", "--round-timeout", "20") as process:
        whole.until(lambda: len(whole.rounds("killed")) >= 1)
        site.signal(signal.SIGKILL)
        assert site.process is not None
        site.process.wait()
        whole.until(lambda: any("s1" not in line["sites"] for line in whole.rounds("killed")))
        site.start()
        told = ended(process)
    assert process.returncode == 0, told
    assert abs(score(whole, "killed") - score(whole, "undisturbed")) <= 0.05
    assert "s1" in told  # the log names it
    whole.until(lambda: whole.online() == set(SITES))


def test_a_site_that_is_far_too_slow_does_not_hold_the_others_up(
    whole: Federation, undisturbed: dict[str, np.ndarray[Any, Any]]
) -> None:
    site = whole.sites["s2"]
    began = time.monotonic()
    with whole.running("slow", "--round-timeout", "15") as process:
        whole.until(lambda: len(whole.rounds("slow")) >= 1)
        site.signal(signal.SIGSTOP)
        whole.until(lambda: any("s2" not in line["sites"] for line in whole.rounds("slow")))
        site.signal(signal.SIGCONT)
        told = ended(process)
    assert process.returncode == 0, told
    assert "no answer in time from s2" in told
    assert time.monotonic() - began < 60 + ROUNDS * 30
    assert abs(score(whole, "slow") - score(whole, "undisturbed")) <= 0.05
    whole.until(lambda: whole.online() == set(SITES))


def test_fewer_sites_than_the_quorum_end_the_run_with_one_line(whole: Federation) -> None:
    site = whole.sites["s0"]
    with whole.running("quorum", "--round-timeout", "5", "--min-sites", "3") as process:
        whole.until(lambda: len(whole.rounds("quorum")) >= 1)
        site.signal(signal.SIGSTOP)
        told = ended(process)
        site.signal(signal.SIGCONT)
    assert process.returncode == 1
    assert "expected at least 3" in " ".join(told.split())
    assert "Traceback" not in told
    whole.until(lambda: whole.online() == set(SITES))


def test_no_site_spends_twice_for_a_round_that_is_run_again(whole: Federation) -> None:
    private = ["--epsilon", "8", "--rounds", "4"]
    settings = whole.settings.read_text().replace("batch_size = 4", "local_epochs = 1")
    whole.settings.with_name("private.toml").write_text(settings)
    own = [*private, "--config", str(whole.settings.with_name("private.toml"))]
    with whole.running("private", *own) as process:
        whole.until(lambda: len(whole.rounds("private")) >= 1)
        wait(lambda: any(steps(whole, name) > 4 for name in SITES))  # in mid-round
        kill(whole.processes("flwr-serverapp"))
        ended(process)
    whole.run("private", "--resume", "private")
    told = whole.result("private")["folds"][0]["privacy"]["sites"]
    assert {name: steps(whole, name) for name in SITES} == dict.fromkeys(SITES, 16)  # 4 rounds of 4 steps
    assert all(told[name]["epsilon"] is None for name in SITES)  # the kits' policy keeps it at the site
    assert whole.result("private")["folds"][0]["rounds"][0]["sites"]["s0"]["loss"] is None


def test_a_recording_that_breaks_names_nobody_to_the_server(whole: Federation) -> None:
    site = whole.sites["s1"]
    rows = (site.home / "data/manifest.csv").read_text()
    (site.home / "data/patient_0042.npy").write_bytes(b"broken")
    (site.home / "data/manifest.csv").write_text(rows + "patient_0042.npy,anger,01,train\n")
    done = whole.run("corrupt", "--rounds", "1")
    (site.home / "data/manifest.csv").write_text(rows)
    assert "patient_0042" in site.log.read_text()
    assert "patient_0042" not in done.stdout + done.stderr
    everything = b"".join(path.read_bytes() for path in whole.folder.root.rglob("*") if path.is_file())
    assert b"patient_0042" not in everything
    assert len(whole.rounds("corrupt")[0]["sites"]) == 3


def score(whole: Federation, name: str) -> float:
    uar: float = whole.result(name)["summary"]["uar"]["mean"]
    return uar


def steps(whole: Federation, name: str) -> int:
    [path] = [*(whole.sites[name].home / "kit/state/ledger").glob(f"{name}.jsonl")] or [Path("none")]
    return sum(spend.steps for spend in Ledger(path).spends("utterance")) if path.exists() else 0
