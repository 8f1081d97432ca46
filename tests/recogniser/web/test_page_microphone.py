"""The page in a browser whose microphone plays a known file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import soundfile
from playwright.sync_api import Page, expect, sync_playwright

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.lane import ListenSettings
from recogniser.listening.recording_result import Segment
from recogniser.service.server_access import Access
from recogniser.service.stream_limits import StreamLimits
from tests.browser import FLAGS, chromium_path
from tests.recogniser.speech import RATE, talk
from tests.recogniser.web.visiting import address, visited

pytestmark = pytest.mark.slow

FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
TOKEN = "a token of the test's"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A page, the addresses that it asked for, and what the browser complained of."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    host: str

    def emotion(self) -> Any:
        return self.page.locator("#emotion")

    def kept_to_itself(self) -> None:
        assert self.complaints == []
        assert self.asked
        assert {url.split("://")[1].split("/")[0] for url in self.asked if not url.startswith("data:")} == {self.host}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two utterances between gaps of 0.8 s."""
    path = tmp_path_factory.mktemp("sound") / "talk.wav"
    soundfile.write(path, talk(0), RATE)
    return path


@contextmanager
def opened(
    model: ExportedModel,
    sound: Path,
    *,
    width: int = 1400,
    scheme: Literal["dark", "light"] = "light",
    access: Access | None = None,
    limits: StreamLimits | None = None,
) -> Iterator[Opened]:
    flags = [*FLAGS, *FAKE, f"--use-file-for-fake-audio-capture={sound}%noloop"]
    with visited(model, access, limits=limits or StreamLimits()) as service, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=flags)
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        found = Opened(page=page, host=address(service).split("/")[2])
        page.on("request", lambda request: found.asked.append(request.url))
        page.on("websocket", lambda socket: found.asked.append(socket.url))
        page.on("console", lambda message: found.complaints.append(message.text))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.goto(address(service))
        try:
            yield found
        finally:
            browser.close()


def of_the_file(model: ExportedModel, sound: Path) -> list[Segment]:
    return recognise(model, sound, RecogniseSettings(listen=ListenSettings(adapt="running"))).segments


def rows(page: Page) -> list[list[str]]:
    return [row.locator("td").all_inner_texts() for row in page.locator("#segments tr").all()][::-1]


def test_it_shows_what_the_file_holds_as_it_is_spoken(model: ExportedModel, sound: Path) -> None:
    expected = of_the_file(model, sound)
    with opened(model, sound) as own:
        page, start = own.page, own.page.get_by_role("button", name="Start the microphone")
        expect(page.get_by_text("classes")).to_be_visible()
        assert start.is_disabled()  # nobody has agreed
        for use in ("at work", "in education"):
            expect(page.locator("#consent").get_by_text(use, exact=True)).to_be_visible()
        page.get_by_role("checkbox").check()
        page.locator("#threshold").fill("0")
        start.click()
        expect(own.emotion()).to_have_text("no speech")  # the file begins with a gap
        expect(own.emotion()).not_to_have_text("no speech", timeout=10_000)
        assert own.emotion().inner_text() in model.said.classes
        assert page.locator("#heard").inner_text().startswith("has heard you ")
        assert any(share.endswith("%") for share in page.locator(".share").all_inner_texts())
        expect(own.emotion()).to_have_text("no speech", timeout=10_000)  # between two utterances
        expect(page.locator("#segments tr")).to_have_count(len(expected), timeout=20_000)
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("not listening")).to_be_visible()
        assert page.locator("#warning").is_hidden()
        assert page.locator("#synthetic").is_visible() == model.said.synthetic
        found = rows(page)
        own.kept_to_itself()
    shift = float(found[0][0].split()[0]) - expected[0].start  # what was played before the page listened
    for (times, emotion, *_), segment in zip(found, expected, strict=True):
        start_at, end_at = (float(text) for text in re.findall(r"[\d.]+", times))
        assert start_at - shift == pytest.approx(segment.start, abs=0.15)
        assert end_at - shift == pytest.approx(segment.end, abs=0.15)
        if is_clear(segment):  # the browser resamples, and its frames begin elsewhere
            assert emotion == segment.emotion
    assert sum(map(is_clear, expected)) >= 1


def is_clear(segment: Segment) -> bool:
    first, second, *_ = sorted(segment.probabilities.values(), reverse=True)
    return first - second > 0.2


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1400, "light")])
def test_a_file_instead_at_any_width(
    model: ExportedModel, sound: Path, width: int, scheme: Literal["dark", "light"]
) -> None:
    expected = recognise(model, sound, RecogniseSettings(unsure=0.5))
    made_up = replace(model, said=replace(model.said, synthetic=True))
    access = Access(token=TOKEN)
    with opened(made_up, sound, width=width, scheme=scheme, access=access) as own:
        page = own.page
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_text("A synthetic model")).to_be_visible()
        page.get_by_role("checkbox").check()
        page.locator("#file").set_input_files(str(sound))
        expect(page.locator("#doing")).to_contain_text("talk.wav: 6", timeout=20_000)
        emotions = [row[1] for row in rows(page)]
        assert emotions == [each.emotion or "unsure" for each in expected.segments]
        expect(own.emotion()).to_contain_text("mostly")
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
        drawn = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
        assert page.locator("#picture").evaluate(drawn) > 20  # waveform, spectrogram, bars: many colours
        shades = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert shades == {"dark": "rgb(15, 18, 22)", "light": "rgb(245, 246, 248)"}[scheme]
        own.complaints[:] = [text for text in own.complaints if "401" not in text]  # before the token was given
        own.kept_to_itself()


def test_what_the_browser_keeps_on_is_said_and_why_a_stream_ends(model: ExportedModel, sound: Path) -> None:
    with opened(model, sound, limits=StreamLimits(seconds=2)) as own:
        own.page.evaluate("MediaStreamTrack.prototype.getSettings = () => ({noiseSuppression: true})")
        own.page.get_by_role("checkbox").check()
        own.page.get_by_role("button", name="Start the microphone").click()
        expect(own.page.locator("#warning")).to_contain_text("keeps noise suppression on")
        expect(own.page.locator("#warning")).to_contain_text("2 seconds at most", timeout=10_000)
        expect(own.page.get_by_text("not listening")).to_be_visible()
        own.kept_to_itself()
