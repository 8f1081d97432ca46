from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from server.federation.monitor.admin import serve
from server.federation.runs.run_folder import RunFolder
from tests.browser import chromium
from tests.server.federation import example_folder
from tests.server.federation.example_folder import entry

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    now = datetime.now(UTC)
    made = example_folder.run(example_folder.folder(tmp_path, online=("charite", "st-mary"), when=now))
    example_folder.rounds(made, [entry(1, uar=0.25, when=now), entry(2, uar=0.75, when=now)])
    made.file("run.log").write_text(f"2026-11-21T15:29:31Z WARNING {'long' * 30}: no answer in time\n")
    return made


@contextmanager
def opened(
    run: RunFolder, *, width: int = 1280, scheme: Literal["dark", "light"] = "light", script: bool = True
) -> Iterator[tuple[Page, list[str], list[str]]]:
    """The page in a browser, with the addresses that it asks for and what the browser complains of."""
    asked, complaints = list[str](), list[str]()
    with chromium() as browser, serve(run.folder, "127.0.0.1", 0) as port:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url.removeprefix(f"http://127.0.0.1:{port}")))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/")
        yield page, asked, complaints


def test_it_renews_itself_and_keeps_what_the_reader_opened(run: RunFolder) -> None:
    with opened(run) as (page, asked, complaints):
        expect(page.get_by_role("heading", level=1)).to_have_text("run-1 is running: round 2 of 20")
        assert page.get_by_role("img", name="Validation UAR by round: 0.750").is_visible()
        page.get_by_text("The numbers of this figure").click()
        now = datetime.now(UTC)
        example_folder.folder(run.folder.root, when=now)
        example_folder.rounds(run, [entry(n, uar=0.5, when=now) for n in (1, 2, 3)])
        expect(page.get_by_role("heading", level=1)).to_have_text("run-1 is running: round 3 of 20", timeout=15_000)
        expect(page.get_by_role("row", name="lausanne")).to_contain_text("online")
        assert page.title().startswith("3/3 online · round 3/20")
        assert page.get_by_role("row", name="3 0.500", exact=True).is_visible()
        assert set(asked) == {"/", "data:,"} or set(asked) == {"/"}
        assert complaints == []


def test_a_server_that_is_gone_is_said(run: RunFolder) -> None:
    with opened(run) as (page, _, _):
        page.route("**/*", lambda route: route.abort())
        expect(page.get_by_text("The coordinator's server does not answer")).to_be_visible(timeout=15_000)
        assert page.get_by_role("heading", level=1).is_visible()
        page.unroute("**/*")
        expect(page.get_by_text("The coordinator's server does not answer")).to_be_hidden(timeout=15_000)


@pytest.mark.parametrize("width", [320, 375, 768, 1280])
def test_it_is_readable_at_any_width(run: RunFolder, width: int) -> None:
    with opened(run, width=width) as (page, _, _):
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
        row = page.get_by_role("row", name="charite")
        assert row.get_by_role("rowheader", name="charite").is_visible()
        assert row.get_by_role("cell").count() == 8  # a table for a screen reader, on a phone too


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_what_was_spent_fits_at_any_width(tmp_path: Path, width: int) -> None:
    now = datetime.now(UTC)
    private = {"privacy.unit": "speaker", "privacy.epsilon": 8.0}
    run = example_folder.run(example_folder.folder(tmp_path, when=now), settings=private)
    spent: dict[str, Any] = {"epsilon": 7.98, "epsilon_total": 16.25, "budget": 20.0}
    example_folder.rounds(run, [entry(1, uar=None, when=now, **spent)])
    with opened(run, width=width) as (page, _, _):
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
        expect(page.get_by_role("row", name="charite")).to_contain_text("7.98, all runs 16.25 of 20")
        bar = page.get_by_role("progressbar", name="All runs, of the budget").first
        assert bar.evaluate("bar => bar.value / bar.max") == 16.25 / 20


def test_it_follows_dark_mode(run: RunFolder) -> None:
    with opened(run, scheme="dark") as (page, _, complaints):
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert colour == "rgb(15, 18, 22)"
        assert complaints == []  # the policy lets the style in


def test_without_scripts_the_page_reloads_itself(run: RunFolder) -> None:
    with opened(run, script=False) as (page, asked, _):
        page.wait_for_timeout(6500)
        assert asked.count("/") >= 2
