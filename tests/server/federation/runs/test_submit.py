from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.config.settings import Config, flatten
from common.flower import bundle
from common.splits.plan import Plan
from server.federation.folder.coordinator_folder import Folder
from server.federation.runs.run_folder import RunFolder
from server.federation.runs.run_planning import run_config
from server.federation.runs.submit import Progress, Runs
from tests.server.federation import coordinator

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("submit")]


@contextlib.contextmanager
def reached(folder: Folder) -> Iterator[Runs]:
    with contextlib.closing(Runs(folder)) as runs:
        yield runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    made = coordinator.make(tmp_path_factory.mktemp("federation"), ["charite"])
    with coordinator.server(made, "--no-proxy"):
        yield made


@pytest.fixture
def runs(folder: Folder) -> Iterator[Runs]:
    with reached(folder) as runs:
        yield runs


def started(runs: Runs, folder: Folder, name: str, *, plan: bool) -> int:
    run = RunFolder(folder=folder, name=name)
    if plan:
        Plan(fold="held-out", classes=("a", "b"), test=(), sites=(), quorum=1).write(run.file("plan.json"))
    settings = flatten(Config().with_values({"data.classes": "a,b", "data.corpus": "manifest"}))
    return runs.start(bundle.build(), run_config(settings, run))


def ended(runs: Runs, number: int) -> Progress:
    deadline = time.monotonic() + 120
    while not (progress := runs.progress(number)).ended:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return progress


def test_what_the_serverapp_says_of_its_failure_comes_through(folder: Folder, runs: Runs) -> None:
    progress = ended(runs, started(runs, folder, "no-plan", plan=False))
    assert not progress.completed
    assert not progress.stopped
    assert progress.why.endswith("runs/no-plan/plan.json is no plan of a fold (FileNotFoundError); start the run anew")


def test_a_run_that_waits_for_its_sites_is_stopped(folder: Folder, runs: Runs) -> None:
    number = started(runs, folder, "waits", plan=True)
    assert not runs.progress(number).ended
    runs.stop(number)
    assert ended(runs, number).stopped
    runs.stop(number)  # once more does no harm


def test_a_run_that_the_superlink_does_not_know_has_ended(runs: Runs) -> None:
    assert runs.progress(12345).ended


def test_a_superlink_that_does_not_answer(tmp_path: Path) -> None:
    with reached(coordinator.make(tmp_path)) as runs:
        with pytest.raises(ConnectionError):
            runs.progress(1)
        with pytest.raises(ConnectionError):
            runs.start(b"", {})
