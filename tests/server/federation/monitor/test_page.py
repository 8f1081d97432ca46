from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path
from typing import Any

import pytest

from server.federation.monitor import page
from server.federation.monitor.snapshot import look
from server.federation.runs.run_folder import FAILED, LOST, RunFolder, RunState
from tests.server.example_result import SPENT
from tests.server.federation import example_folder
from tests.server.federation.example_folder import NOW, entry
from tests.server.federation.runs.test_deployed_result import finish
from tests.server.reporting.test_report import HOSTILE, Outline


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = example_folder.run(example_folder.folder(tmp_path, online=("charite", "st-mary")))
    example_folder.rounds(made, [entry(1, uar=0.25), entry(2, uar=0.75), entry(3, uar=0.5)])
    return made


def words(text: str) -> str:
    """The page's text without markup, its white space collapsed."""
    return " ".join(html.unescape(re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", text, flags=re.DOTALL)).split())


def rendered(run: RunFolder) -> str:
    return page.render(look(run.folder, NOW))


def test_page_is_whole_and_loads_nothing(run: RunFolder) -> None:
    text = rendered(run)
    outline = Outline(text)
    assert outline.open == []
    assert outline.named("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert not re.search(r"https?:|url\(|@import|<img|<iframe| src=| style=| on[a-z]+=", text)


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(run: RunFolder) -> None:
    text = rendered(run)
    for tag in ("style", "script"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        assert page._hash(content) in page.POLICY
    assert page.POLICY.startswith("default-src 'none'; ")
    assert "unsafe" not in page.POLICY


def test_a_run_at_a_glance(run: RunFolder) -> None:
    text = words(rendered(run))
    assert "run-1 is running: round 3 of 20" in text
    assert "Sites online 2 of 3 missing: lausanne" in text
    assert "Validation UAR 0.500 best 0.750" in text
    assert "A round takes 12.5 s 3 min 32 s left" in text
    assert "charite online now 3 73 2.2 s 1.4 MB 4.2 MB 0.500" in text
    assert "lausanne offline 12 min ago" in text


def test_the_curve_runs_over_all_rounds_and_leaves_gaps(run: RunFolder) -> None:
    view = look(run.folder, NOW).run
    assert view is not None
    drawn = page.chart(dataclasses.replace(view, rounds=5, uars=(0.25, None, 0.5, 0.75)))
    assert drawn.path == "M0 75.00M50 50.00L75 25.00"
    assert (drawn.last, drawn.chance) == ("75 25.00", 75.0)
    assert page.chart(dataclasses.replace(view, rounds=1, uars=(0.5,))).path == "M0 50.00"


def test_a_private_run_has_epsilon_against_the_budget_and_no_curve(tmp_path: Path) -> None:
    private = {"privacy.unit": "speaker", "privacy.epsilon": 8.0}
    run = example_folder.run(example_folder.folder(tmp_path), settings=private)
    own: dict[str, Any] = {name: SPENT[name] for name in ("epsilon", "epsilon_total", "budget", "budget_unit")}
    example_folder.rounds(run, [entry(1, uar=None, seconds=None, **own)])
    text = rendered(run)
    assert "7.98, all runs 16.25 of 20 per recording" in text  # of the speakers' run, what it tells of a recording
    assert '<progress value="16.25" max="20.0"' in text
    assert "<svg" not in text
    assert "Speakers" in text
    assert "a private run has none" in text


@pytest.mark.parametrize(("state", "heading"), [(FAILED, "run-1 failed: round 0"), (LOST, "run-1 was lost: round 0")])
def test_a_run_that_did_not_end_well_says_how_to_go_on(tmp_path: Path, state: str, heading: str) -> None:
    run = example_folder.run(example_folder.folder(tmp_path), state=RunState(state=state, why="no quorum"))
    text = words(rendered(run))
    assert heading in text
    assert "no quorum. Go on with: fedser federation run --resume run-1" in text


def test_a_finished_run_has_its_held_out_score(run: RunFolder) -> None:
    finish(run)
    run.note(RunState(state="finished"))
    text = words(rendered(run))
    assert "run-1 is finished after 3 rounds" in text
    assert "Held-out UAR 0.850" in text
    finish(run, test=None, by_speaker=None)
    assert "Held-out UAR not scored" in words(rendered(run))


def test_without_a_run_or_without_a_superlink_it_says_what_to_do(tmp_path: Path) -> None:
    assert "No run yet" in words(page.render(look(example_folder.folder(tmp_path), NOW)))
    down = example_folder.folder(tmp_path / "down", up=False)
    example_folder.run(down)
    text = words(page.render(look(down, NOW)))
    assert "The SuperLink is down" in text
    assert "run-1 has no SuperLink" in text


def test_what_the_run_said_is_harmless(run: RunFolder) -> None:
    run.file("run.log").write_text(f"2026-11-21T15:29:31Z WARNING {HOSTILE}\n")
    text = rendered(run)
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(" in text
    assert Outline(text).open == []


def test_without_the_epsilon_of_all_runs_there_is_no_bar_to_the_budget(tmp_path: Path) -> None:
    run = example_folder.run(
        example_folder.folder(tmp_path), settings={"privacy.unit": "speaker", "privacy.epsilon": 8.0}
    )
    example_folder.rounds(run, [entry(1, uar=None, epsilon=2.0, budget=20.0)])  # of a site with an older fedser
    assert "2.00, all runs – of 20" in rendered(run)  # noqa: RUF001
    assert 'max="20.0"' not in rendered(run)
    example_folder.rounds(run, [entry(1, uar=None, epsilon=2.0, epsilon_total=3.0)])  # no budget: nothing to compare
    assert "all runs" not in rendered(run)
