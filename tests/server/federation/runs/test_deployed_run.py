from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.cli import main
from common.config.settings import Scalar
from common.errors import FederationError, UsageError
from common.flower import bundle
from common.progress import Display
from server.federation.folder import registry
from server.federation.folder.coordinator_folder import Folder
from server.federation.folder.registry import RegisteredSite
from server.federation.runs import deployed_result, follow, run_folder
from server.federation.runs import deployed_run as module
from server.federation.runs.deployed_run import Wish, run, wait_for_sites
from server.federation.runs.run_folder import LOST, RUNNING, STOPPED, RunFolder, RunState
from server.federation.runs.submit import Progress
from server.federation.service import status
from server.reporting.run_record import Result
from server.sites.meeting import NOBODY
from tests.server.federation import example_folder
from tests.server.federation.runs.test_deployed_result import finish

CLASSES = {"data.classes": "anger,happiness,neutral,sadness", "federation.rounds": 2}
DONE = Progress(ended=True, completed=True)


class SuperLink:
    """Stands for the SuperLink: each run that is started ends as the next of ``ends`` says, at the first question."""

    def __init__(self) -> None:
        self.ends: list[Callable[[RunFolder], Progress]] = []
        self.started: list[Mapping[str, Scalar]] = []
        self.stopped: list[int] = []
        self.before: dict[int, list[Progress]] = {}  # runs of earlier commands
        self.folder: Folder | None = None

    def __call__(self, folder: Folder) -> SuperLink:
        self.folder = folder
        return self

    def close(self) -> None:
        pass

    def start(self, bundle: bytes, settings: Mapping[str, Scalar]) -> int:
        assert bundle == b"bundle"
        self.started.append(settings)
        return 100 + len(self.started)

    def progress(self, number: int) -> Progress:
        if number in self.before:
            answers = self.before[number]
            return answers.pop(0) if len(answers) > 1 else answers[0]
        assert self.folder is not None
        name = str(self.started[number - 101]["out"]).removeprefix("runs/")
        return self.ends.pop(0)(RunFolder(folder=self.folder, name=name))

    def stop(self, number: int) -> None:
        self.stopped.append(number)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return example_folder.folder(tmp_path / "federation", when=datetime.now(UTC))


@pytest.fixture
def superlink(monkeypatch: pytest.MonkeyPatch) -> SuperLink:
    fake = SuperLink()
    monkeypatch.setattr(module, "Runs", fake)
    monkeypatch.setattr(follow, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(follow, "ASK_SECONDS", 0.0)
    monkeypatch.setattr(bundle, "build", lambda: b"bundle")
    monkeypatch.setattr(deployed_result, "leave", leave)
    return fake


def leave(whole: Result, out: Path, model: Path) -> None:
    """The report takes a second: ``test_outcome`` has it drawn."""
    assert model == out / "model.safetensors"
    (out / "result.json").write_text(json.dumps(whole.as_json()))


def well(place: RunFolder) -> Progress:
    finish(place)
    return DONE


def badly(place: RunFolder) -> Progress:
    example_folder.rounds(place, [example_folder.entry(1, uar=0.5)])
    return Progress(ended=True, why="round 2: 0 of 3 sites sent a sound update")


def wish(**changes: Any) -> Wish:
    own = {"settings": CLASSES, "name": None, "resume": None, "sites": None, "wait": 0.0, "command": "fedser …"}
    return Wish(**{**own, **changes})


def again(name: str = "run-1", **changes: Any) -> Wish:
    return wish(settings={}, resume=name, **changes)


def test_a_run_is_planned_submitted_followed_and_concluded(folder: Folder, superlink: SuperLink) -> None:
    superlink.ends = [well]
    whole = run(folder, wish(settings={**CLASSES, "seed": 5}))
    told = superlink.started[0]
    assert (told["out"], told["seed"], told["federation.rounds"]) == ("runs/run-1", 5, 2)
    plan = json.loads((folder.runs / "run-1/plan.json").read_text())
    assert (plan["quorum"], plan["sites"], plan["fold"]) == (3, [], "held-out")
    assert whole.folds[0].fold == "held-out"
    assert json.loads((folder.runs / "run-1/result.json").read_text()) == whole.as_json()
    superlink.ends = [well]
    run(folder, wish())
    assert run_folder.names(folder) == ["run-1", "run-2"]


def test_a_failure_is_what_the_server_said_and_how_to_go_on(folder: Folder, superlink: SuperLink) -> None:
    superlink.ends = [badly]
    with pytest.raises(FederationError) as error:
        run(folder, wish(name="first"))
    assert str(error.value) == (
        "round 2: 0 of 3 sites sent a sound update; go on with fedser federation run --resume first"
    )


def test_a_private_run_that_would_tell_more_does_not_go_on(folder: Folder, superlink: SuperLink) -> None:
    """One of a release that did not refuse it; nobody waits for sites first."""
    superlink.ends = [badly]
    with pytest.raises(FederationError):
        run(folder, wish())
    path = folder.runs / "run-1/run.json"
    kept = json.loads(path.read_text())
    kept["settings"] |= {"privacy.epsilon": 8.0}
    path.write_text(json.dumps(kept))
    superlink.before[101] = [Progress(ended=True, why="round 2")]
    with pytest.raises(UsageError, match=r"^--normalise running would tell of other utterances' recordings"):
        run(folder, again())
    assert len(superlink.started) == 1


def test_a_run_that_no_policy_allows_is_a_users_error_with_each_sites_line(
    folder: Folder, superlink: SuperLink
) -> None:
    why = f"{NOBODY} (charite: refused …; st-mary: refused …); nothing of it ran there: change the run"
    superlink.ends = [lambda _: Progress(ended=True, why=why)]
    with pytest.raises(UsageError) as caught:
        run(folder, wish())
    assert (str(caught.value), caught.value.exit_code) == (why, 2)
    known = RunFolder(folder=folder, name="run-1").state()
    assert known is not None
    assert (known.state, known.why) == (run_folder.FAILED, why)


def test_a_failure_before_round_1_offers_nothing_to_go_on_with(folder: Folder, superlink: SuperLink) -> None:
    superlink.ends = [lambda _: Progress(ended=True, why="the sites' features differ")]
    with pytest.raises(FederationError, match=r"^the sites' features differ$"):
        run(folder, wish())


def test_a_run_goes_on_in_a_new_flower_run_with_the_same_settings(folder: Folder, superlink: SuperLink) -> None:
    superlink.ends = [badly, well]
    with pytest.raises(FederationError):
        run(folder, wish(settings={**CLASSES, "seed": 5}))
    superlink.before[101] = [Progress(ended=True, why="round 2")]
    whole = run(folder, again())
    assert superlink.started[0] == superlink.started[1]
    assert whole.config["seed"] == 5
    assert len(superlink.started) == 2


def test_a_finished_run_that_is_gone_on_with_is_only_concluded(folder: Folder, superlink: SuperLink) -> None:
    superlink.ends = [well]
    first = run(folder, wish())
    (folder.runs / "run-1/result.json").unlink()
    assert run(folder, again()) == first
    assert len(superlink.started) == 1


def test_a_run_that_still_goes_on_is_followed_not_started_twice(folder: Folder, superlink: SuperLink) -> None:
    place = example_folder.run(folder, state=RunState(state=RUNNING, flower=7))
    superlink.before[7] = [Progress(ended=False), DONE]
    finish(place)
    place.file("fold.json").rename(place.file("later"))

    def end(number: int) -> Progress:
        if len(superlink.before[7]) == 1 and place.file("later").exists():
            place.file("later").rename(place.file("fold.json"))
        return SuperLink.progress(superlink, number)

    superlink.progress = end  # type: ignore[method-assign]
    run(folder, again())
    assert superlink.started == []


def test_what_a_lost_superlink_may_have_left_is_stopped_before_a_new_run(folder: Folder, superlink: SuperLink) -> None:
    example_folder.run(folder, state=RunState(state=LOST, flower=7, seconds=40.0))
    superlink.ends = [well]
    whole = run(folder, again())
    assert superlink.stopped == [7]
    assert whole.timing.total_s >= 40


def test_a_run_whose_serverapp_died_without_a_word_is_started_anew(folder: Folder, superlink: SuperLink) -> None:
    example_folder.run(folder, state=RunState(state=RUNNING, flower=7))
    superlink.before[7] = [Progress(ended=False), Progress(ended=True, why="No heartbeat received from the task")]
    superlink.ends = [well]
    run(folder, again())
    assert len(superlink.started) == 1


def test_a_run_goes_on_with_fewer_sites_where_one_is_gone(folder: Folder, superlink: SuperLink) -> None:
    superlink.ends = [badly, well]
    with pytest.raises(FederationError):
        run(folder, wish())
    superlink.before[101] = [Progress(ended=True, why="round 2")]
    example_folder.folder(folder.root, online=("charite", "st-mary"), when=datetime.now(UTC))
    with pytest.raises(FederationError, match="2 of 3 sites are online, missing: lausanne"):
        run(folder, again())
    assert getattr(RunFolder(folder=folder, name="run-1").state(), "state", None) == STOPPED
    run(folder, again(sites=2))
    assert json.loads((folder.runs / "run-1/plan.json").read_text())["quorum"] == 2


def test_another_run_that_goes_on_is_in_the_way(folder: Folder, superlink: SuperLink) -> None:
    example_folder.run(folder, "other", state=RunState(state=RUNNING, flower=7))
    superlink.before[7] = [Progress(ended=False)]
    with pytest.raises(UsageError, match="other still goes on; follow it with --resume other"):
        run(folder, wish())


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"name": "taken"}, "--out taken exists; go on with it by --resume taken, or give another name"),
        ({"name": "../up"}, "a run is called '../up', expected"),
        ({"sites": 4}, "--sites is 4, expected 1 to 3: charite, lausanne, st-mary are registered"),
        ({"settings": {**CLASSES, "federation.min_sites": 9}}, "--min-sites is 9, the run is for 3 sites"),
        ({"settings": {}, "resume": "none"}, "there is no run 'none' in .*; there are taken"),
        ({"settings": {"seed": 9}, "resume": "taken"}, "--resume taken goes on with the settings that the run was"),
        ({"settings": {}, "resume": "taken", "sites": 9}, "--sites is 9, expected 1 to 3"),
    ],
)
def test_a_wrong_wish_is_one_line_and_starts_nothing(
    folder: Folder, superlink: SuperLink, asked: dict[str, Any], why: str
) -> None:
    example_folder.run(folder, "taken", state=RunState(state=LOST))
    with pytest.raises(UsageError, match=why):
        run(folder, wish(**asked))
    assert superlink.started == []
    assert run_folder.names(folder) == ["taken"]


def test_without_a_registered_site_nothing_can_start(folder: Folder, superlink: SuperLink) -> None:
    registry.write(
        folder.registry, {"charite": RegisteredSite(), "gone": RegisteredSite(public_key="ecdsa x", revoked=True)}
    )
    with pytest.raises(FederationError, match="no site is registered yet; fedser federation add-site"):
        run(folder, wish())


def test_a_superlink_that_does_not_answer_is_one_line(
    folder: Folder, superlink: SuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(bundle: bytes, settings: Mapping[str, Scalar]) -> int:
        raise ConnectionError("refused")

    monkeypatch.setattr(superlink, "start", refuse)
    with pytest.raises(FederationError, match=r"the SuperLink at 127.0.0.1:8000 does not answer; see to fedser server"):
        run(folder, wish())


@pytest.mark.parametrize("wait", [float("nan"), float("inf"), -1.0])
def test_a_time_that_is_none_is_not_waited_for(folder: Folder, superlink: SuperLink, wait: float) -> None:
    with pytest.raises(UsageError, match=r"--wait is .*, expected a number of seconds from 0"):
        run(folder, wish(wait=wait))
    assert not folder.runs.exists()


def test_a_run_that_never_started_leaves_no_folder(
    folder: Folder, superlink: SuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    example_folder.folder(folder.root, online=("charite",), when=datetime.now(UTC))
    with pytest.raises(FederationError, match="after 0 s 1 of 3 sites are online"):
        run(folder, wish())
    assert not any(folder.runs.iterdir())

    def refuse(bundle: bytes, settings: Mapping[str, Scalar]) -> int:
        raise FederationError("Flower refuses it")

    example_folder.folder(folder.root, when=datetime.now(UTC))
    monkeypatch.setattr(superlink, "start", refuse)
    with pytest.raises(FederationError, match="Flower refuses"):
        run(folder, wish())
    assert not any(folder.runs.iterdir())


def test_it_waits_for_the_sites_and_names_those_that_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = example_folder.folder(tmp_path, online=("charite",), when=datetime.now(UTC))
    with Display() as display:
        wait_for_sites(folder, 1, 0.0, display)
        with pytest.raises(FederationError, match="after 0 s 1 of 3 sites are online, missing: lausanne, st-mary"):
            wait_for_sites(folder, 3, 0.0, display)

        def come(_: float) -> None:
            example_folder.folder(tmp_path, when=datetime.now(UTC))

        wait_for_sites(folder, 3, 60.0, display, sleep=come)
    assert "1 of 3 sites are online, missing: lausanne, st-mary" in " ".join(capsys.readouterr().err.split())


def test_a_server_that_is_not_up_is_said(tmp_path: Path) -> None:
    folder = example_folder.folder(tmp_path, up=False, when=datetime.now(UTC))
    with Display() as display, pytest.raises(FederationError, match="the coordinator's server is not up"):
        wait_for_sites(folder, 3, 0.0, display)
    assert status.last(folder)["superlink"] == "down"


def test_the_command_prints_json_and_nothing_else(
    folder: Folder, superlink: SuperLink, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    superlink.ends = [well]
    asked = ["federation", "run", "--dir", str(folder.root), "--classes", "ang", "hap", "neu", "sad", "--rounds", "2"]
    monkeypatch.setattr("sys.argv", ["fedser", *asked, "--json"])
    assert main.run([*asked, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((folder.runs / "run-1/result.json").read_text())
    assert printed["command"].startswith("fedser federation run --dir")
