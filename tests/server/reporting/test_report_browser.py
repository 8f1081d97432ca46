from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.reporting.report import write_report
from server.reporting.run_record import Result
from tests.browser import chromium, visit
from tests.server.example_result import renamed, result

pytestmark = pytest.mark.slow


def test_browser_shows_it_without_a_network(tmp_path: Path) -> None:
    corpus = result()["corpus"] | {"synthetic": True}
    write_report(Result.from_json(result(corpus=corpus)), tmp_path / "report.html")
    with chromium() as browser, visit(browser, tmp_path / "report.html") as seen:
        page = seen.page
        assert "learnt together by 4 sites" in page.locator("h1").inner_text()
        assert page.locator("h2").all_inner_texts() == [
            "What was done",
            "Scores on held-out speakers",
            "Training, round by round",
            "Fold by fold",
            "The split by speaker",
            "Recordings",
            "Privacy",
            "How to repeat it",
        ]
        assert page.get_by_role("note").first.is_visible()
        assert page.get_by_role("img").count() == 5
        for name in ("UAR: Pooled 0.850", "Recall: anger 0.73", "Confusion matrix"):
            assert page.get_by_role("img", name=name).bounding_box()["width"] > 300  # type: ignore[index]
        page.get_by_text("The numbers of this figure").first.click()
        assert page.get_by_role("cell", name="0.790 to 0.870").is_visible()
        assert seen.overflow() == 0
        assert seen.requests == []
        assert seen.complaints == []


@pytest.mark.parametrize("width", [375, 1280])
def test_browser_needs_no_sideways_scrolling(tmp_path: Path, width: int) -> None:
    write_report(
        Result.from_json(renamed(result(), {"site-0": "a" * 80, "sadness": "b" * 40})), tmp_path / "report.html"
    )
    with chromium() as browser, visit(browser, tmp_path / "report.html", width=width) as seen:
        assert seen.overflow() == 0
        seen.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert seen.overflow() == 0
        text = seen.page.locator("#confusion svg text").first.bounding_box()
        assert text is not None
        assert text["height"] >= 9  # pixels: still readable on a phone


def test_browser_follows_dark_mode_figures_included(tmp_path: Path) -> None:
    write_report(Result.from_json(result()), tmp_path / "report.html")
    colours = "[document.body, document.querySelector('#recall svg text')].map(each => getComputedStyle(each))"
    shown = {}
    with chromium() as browser:
        for scheme in ("light", "dark"):
            with visit(browser, tmp_path / "report.html", scheme=scheme) as seen:
                back, ink = seen.page.evaluate(f"{colours}.map((s, i) => i ? s.fill : s.backgroundColor)")
                shown[scheme] = (_brightness(back), _brightness(ink))
    assert shown["light"][0] > 200 > 150 > shown["light"][1]
    assert shown["dark"][0] < 50 < 150 < shown["dark"][1]


def _brightness(colour: str) -> float:
    return sum(map(float, re.findall(r"[0-9.]+", colour)[:3])) / 3
