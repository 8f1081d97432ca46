from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from server.federation.monitor.snapshot import as_json, look
from server.federation.monitor.watch import drawn
from server.federation.runs.run_folder import FAILED, RunState
from tests.server.example_result import SPENT, privacy
from tests.server.federation import example_folder
from tests.server.federation.example_folder import NOW, entry
from tests.server.federation.runs.test_deployed_result import finish


def test_before_the_first_run_there_are_sites_only(tmp_path: Path) -> None:
    view = look(example_folder.folder(tmp_path, online=("charite",)), NOW)
    assert view.run is None
    assert (view.up, view.online, view.expected) == (True, 1, 3)
    assert [site.name for site in view.sites] == ["charite", "lausanne", "st-mary"]
    assert view.sites[1].last_seen == NOW - timedelta(minutes=12)


def test_a_server_that_no_longer_writes_is_down_and_its_sites_are_offline(tmp_path: Path) -> None:
    view = look(example_folder.folder(tmp_path, when=NOW - timedelta(minutes=1)), NOW)
    assert (view.up, view.online) == (False, 0)


def test_a_run_is_seen_by_its_rounds(tmp_path: Path) -> None:
    run = example_folder.run(example_folder.folder(tmp_path))
    rounds = [entry(1, uar=0.5), entry(2, uar=0.75), entry(3, uar=0.625, sites=("charite",))]
    example_folder.rounds(run, rounds)
    view = look(run.folder, NOW)
    assert view.run is not None
    assert (view.run.round, view.run.rounds, view.run.uars) == (3, 20, (0.5, 0.75, 0.625))
    assert (view.run.last_uar, view.run.best_uar) == (0.625, 0.75)
    assert view.run.remaining == timedelta(seconds=17 * 12.5)
    assert view.run.heard == NOW - timedelta(seconds=8)
    charite, lausanne, _ = view.sites
    assert (charite.answered, charite.bytes_total, charite.bytes_round) == (3, 4_200_000, 1_400_000)
    assert (lausanne.answered, lausanne.bytes_total, lausanne.examples) == (2, 2_800_000, 73)


def test_what_sites_keep_to_themselves_is_none(tmp_path: Path) -> None:
    run = example_folder.run(
        example_folder.folder(tmp_path), settings={"privacy.unit": "speaker", "privacy.epsilon": 8.0}
    )
    example_folder.rounds(run, [entry(1, uar=None, bytes=None, seconds=None, loss=None)])
    view = look(run.folder, NOW)
    assert view.run is not None
    assert (view.run.unit, view.run.best_uar, view.run.last_uar) == ("speaker", None, None)
    assert (view.sites[0].bytes_total, view.sites[0].seconds, view.sites[0].epsilon) == (None, None, None)


def test_epsilon_comes_with_the_rounds_or_at_the_end(tmp_path: Path) -> None:
    run = example_folder.run(example_folder.folder(tmp_path), settings={"privacy.epsilon": 8.0})
    example_folder.rounds(run, [entry(1, uar=None, epsilon=2.0, epsilon_total=4.0, budget=10.0, budget_unit="speaker")])
    site = look(run.folder, NOW).sites[0]
    assert (site.epsilon, site.epsilon_total, site.budget, site.budget_unit) == (2.0, 4.0, 10.0, "speaker")
    example_folder.rounds(run, [entry(1, uar=None)])
    finish(run, privacy=privacy(sites={"charite": SPENT}))
    charite, lausanne, _ = look(run.folder, NOW).sites
    assert (charite.epsilon, charite.budget, lausanne.epsilon) == (7.98, 20.0, None)
    assert (charite.epsilon_total, lausanne.epsilon_total) == (16.25, None)
    assert (charite.budget_unit, lausanne.budget_unit) == ("utterance", None)


def test_with_the_unit_site_every_site_has_the_same_epsilon(tmp_path: Path) -> None:
    run = example_folder.run(example_folder.folder(tmp_path), settings={"privacy.unit": "site", "privacy.epsilon": 8.0})
    example_folder.rounds(run, [entry(1, uar=None)])
    finish(run, privacy=privacy(unit="site", sites={"federation": SPENT}))
    assert {site.epsilon for site in look(run.folder, NOW).sites} == {7.98}


def test_the_newest_run_is_shown_with_its_last_warnings(tmp_path: Path) -> None:
    folder = example_folder.folder(tmp_path)
    example_folder.run(folder, "old")
    run = example_folder.run(folder, "new", state=RunState(state=FAILED, why="no quorum"))
    run.file("run.json").touch()
    log = "".join(f"2026-11-21T15:00:0{n}Z WARNING fault {n}\n2026-11-21T15:00:0{n}Z INFO dull\n" for n in range(8))
    run.file("run.log").write_text(log)
    view = look(folder, NOW)
    assert view.run is not None
    assert (view.run.name, view.run.state, view.run.why) == ("new", "failed", "no quorum")
    assert [text for _, text in view.run.warnings] == [f"fault {n}" for n in range(3, 8)]


def test_the_held_out_score_is_there_at_the_end(tmp_path: Path) -> None:
    run = finish(example_folder.run(example_folder.folder(tmp_path)))
    view = look(run.folder, NOW)
    assert view.run is not None
    assert view.run.test_uar == pytest.approx(0.85)
    assert not view.run.unscored


def test_a_run_that_nobody_scored_is_over_without_one(tmp_path: Path) -> None:
    run = example_folder.run(example_folder.folder(tmp_path), state=RunState(state="finished"))
    finish(run, test=None, by_speaker=None)
    view = look(run.folder, NOW)
    assert view.run is not None
    assert (view.run.test_uar, view.run.unscored) == (None, True)
    Console(file=(shown := io.StringIO()), width=120).print(drawn(view))
    assert "not scored: no held-out speaker is at the coordinator" in shown.getvalue()


def test_as_json_has_the_keys_of_the_status_and_the_run(tmp_path: Path) -> None:
    run = example_folder.run(example_folder.folder(tmp_path, online=("charite",)))
    example_folder.rounds(run, [entry(1, uar=0.5)])
    told = json.loads(json.dumps(as_json(look(run.folder, NOW))))
    assert told["superlink"] == "up"
    assert told["sites"]["charite"]["online"] is True
    assert told["sites"]["lausanne"]["last_seen"] == "2026-11-21T15:18:00+00:00"
    assert told["run"]["round"] == 1
