from __future__ import annotations

import html
import itertools
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from server.reporting.drawing import Illustration
from server.reporting.formatting import NONE
from server.reporting.report import write_report
from server.reporting.run_record import Result
from tests.server.example_result import (
    FULL,
    deployed_result,
    fold,
    lean_result,
    privacy,
    renamed,
    result,
    stranger_result,
)

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = "<script>alert('x')</script>"


class Outline(HTMLParser):
    """The elements of a page, and whether each that opens also closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def written(tmp_path: Path, entry: dict[str, Any]) -> str:
    """A result's page; several tests look at the same, and drawing it takes a second, where it is drawn."""
    key = json.dumps(entry), Illustration.inline
    if key not in PAGES:
        write_report(Result.from_json(entry), tmp_path / "report.html")
        PAGES[key] = (tmp_path / "report.html").read_text(encoding="utf-8")
    return PAGES[key]


PAGES: dict[object, str] = {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of the full example; drawing takes a second, so it is drawn once."""
    return written(tmp_path_factory.mktemp("whole"), result())


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("lean"), lean_result())


ROWS: list[dict[str, Any]] = [
    {"strategy": "fedavg", "attack": "sign", "bad": 1, "sites": 4, "uar": 0.118, "uar_without": 0.483},
    {"strategy": "fedavg", "attack": "backdoor", "bad": 1, "sites": 4, "uar": 0.521, "uar_without": 0.483},
]
TAKEN: tuple[dict[str, Any], ...] = ({"taken": None, "taken_without": None}, {"taken": 0.998, "taken_without": 0.071})


def test_what_hostile_sites_were_found_to_do_stands_in_the_report_and_nothing_where_nobody_looked(
    tmp_path: Path, lean: str
) -> None:
    rows = [row | taken for row, taken in zip(ROWS, TAKEN, strict=True)]
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/robustness.json").write_text(json.dumps({"fold": "kfold:5:0", "rows": rows}))
    write_report(Result.from_json(lean_result()), tmp_path / "report.html")
    page = words((tmp_path / "report.html").read_text())
    assert "FedAvg backdoor 1 of 4 0.521 0.483 0.998 0.071" in page
    assert f"FedAvg sign 1 of 4 0.118 0.483 {NONE} {NONE}" in page
    assert "Hostile sites" not in words(lean)


def words(page: str) -> str:
    """The page's text without markup, its white space collapsed."""
    return " ".join(html.unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


def test_page_is_whole_and_well_formed(whole: str) -> None:
    outline = Outline(whole)
    assert outline.open == []
    assert outline.named("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {f"#{name}" for name in ids} >= {link["href"] for link in outline.named("a")}


def test_headings_are_in_order(whole: str) -> None:
    levels = [int(tag[1]) for tag, _ in Outline(whole).tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_page_refers_to_nothing_outside_and_runs_no_script(whole: str) -> None:
    assert not re.search(r"https?:|url\((?!#)|@import|<script|<link|<img|<iframe", whole)
    assert "default-src 'none'" in whole
    assert len(whole) < 1_000_000


def test_headline_has_the_scores_with_intervals_and_chance(whole: str) -> None:
    text = words(whole)
    assert "4 emotions on EMO-DB, learnt together by 4 sites" in text
    assert "Federated UAR 0.833 95 % CI 0.790 to 0.870" in text
    assert "Pooled UAR 0.850 95 % CI 0.810 to 0.890" in text
    assert "Each site alone, UAR 0.800" in text
    assert "Chance 0.250" in text
    assert "98.0 % of the UAR of the pooled model" in text
    assert "3.3 points above what a site reaches alone" in text
    assert "12 test speakers" in text
    assert "too narrow" in text


def test_every_figure_has_a_title_a_caption_and_its_numbers(whole: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", whole, flags=re.DOTALL)
    assert len(figures) == 5
    for figure in figures:
        title = re.search(r'aria-labelledby="([^"]+)"><title id="([^"]+)">[^<]{10,}</title>', figure)
        assert title is not None
        assert title[1] == title[2]
        assert 'role="img"' in figure
        assert "<figcaption>" in figure
        assert "<details>" in figure
        assert figure.count("<td") >= 10


def test_header_cells_have_a_scope(whole: str) -> None:
    cells = Outline(whole).named("th")
    assert {cell.get("scope") for cell in cells} == {"col", "row"}


def test_numbers_of_the_figures_stand_in_the_tables(whole: str) -> None:
    text = words(whole)
    assert "anger 22 (73%) 8 (27%) 0 (0%) 0 (0%) 30" in text
    assert "sadness 20 14 0.700 0.700 – 0.700" in text  # the second fold has nobody sad  # noqa: RUF001
    assert "site-0 alone 0.800" in text
    assert "Fold 0 0.850 0.850 0.850 0.500 0.850 0.800 5 4 4 4" in text


def test_split_says_where_each_speaker_was_used(whole: str) -> None:
    text = words(whole)
    assert "00 test train at site-0 train at site-0" in text
    assert "07 validation at site-0 test validation at site-1" in text


def test_split_without_sites_comes_from_the_folds(lean: str) -> None:
    assert "07 train" in words(lean)


def test_lean_result_says_what_it_lacks(lean: str) -> None:
    text = words(lean)
    assert "There is no 95 % interval: 4 test speakers" in text
    assert "There were no validation speakers; the model of the last round was scored" in text
    assert "Training loss by round" in text
    assert "--baselines trains them" in text
    assert "The command was not recorded" in text
    assert "Transductive" not in text
    assert "Pooled UAR" not in text
    assert "no recordings" in lean  # a class that the only fold lacks


def test_transductive_and_synthetic_are_said(whole: str, tmp_path: Path) -> None:
    assert "Transductive:" in words(whole)
    assert "Made from synthetic speech" not in words(whole)
    corpus = result()["corpus"] | {"synthetic": True}
    assert "Made from synthetic speech" in words(written(tmp_path, result(corpus=corpus)))


def test_run_is_described(whole: str) -> None:
    text = words(whole)
    assert "fedser simulate --corpus emodb --root 'my data' --out runs/a" in text
    assert "Training 2 min 05 s" in text
    assert "versions.torch 2.13.0" in text
    assert "2 were skipped" in text
    assert "without differential privacy" in text
    assert "federation.rounds 5" in text


def test_privacy_is_shown_where_there_is_some(tmp_path: Path) -> None:
    text = words(written(tmp_path, result(privacy=privacy())))
    assert "with differential privacy for each recording , to ε = 8" in text.replace("recording,", "recording ,")
    assert "site-1 7.980 8.610 16.250 1e-05 1.250 0.25 240 20 per recording, spent" in text
    assert "site-0 3.500 8.610 16.250 1e-05 1.250 0.25 240 none" in text
    assert "one recording contributes: its place stays in both, and in one of them it contributes nothing" in text
    assert "Whoever joins or leaves between two runs changes the numbers" in text
    assert "without differential privacy" not in text
    assert "insecure" not in text
    assert "a private run publishes no losses" in text
    assert "Training loss" not in text


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("unit", "told"), [("speaker", "one person contributes with all"), ("site", "The server is trusted")]
)
def test_each_unit_states_its_own_promise(tmp_path: Path, unit: str, told: str) -> None:
    assert told in words(written(tmp_path, result(privacy=privacy(unit=unit))))


@pytest.mark.usefixtures("undrawn")
def test_what_all_runs_tell_is_told_of_the_unit_of_the_budget(tmp_path: Path) -> None:
    text = words(written(tmp_path, result(privacy=privacy(unit="speaker"))))
    assert "site-1 7.980 8.610 16.250 per recording 1e-05 1.250 0.25 240 20 per recording, spent" in text


@pytest.mark.usefixtures("undrawn")
def test_an_insecure_seed_cannot_be_overlooked(tmp_path: Path) -> None:
    assert "Not private: --insecure-seed" in words(written(tmp_path, result(privacy=privacy(insecure_seed=True))))


def test_a_deployment_s_page_has_counts_by_site_and_dashes_for_what_sites_keep(tmp_path: Path) -> None:
    text = words(written(tmp_path, deployed_result()))
    assert "learnt together by 2 sites" in text
    assert "The split by site" in text
    assert "--baselines" not in text
    assert "charite 3 1 lausanne 1 0 All 4 1" in text
    assert "An untold number of recordings of 10 speakers" in text
    assert "lausanne – – – 1e-05 – – – –" in text  # noqa: RUF001
    assert "charite 7.980 8.610 16.250 per recording 1e-05 1.250 0.25 240 20 per recording, spent" in text
    assert "None" not in text.replace("None was", "")


def test_an_open_deployment_without_losses_or_validation_has_a_page_too(tmp_path: Path) -> None:
    entry = deployed_result(privacy=None)
    entry["folds"][0]["privacy"] = None
    text = words(written(tmp_path, entry))
    assert "Training, round by round" in text
    assert "None" not in text.replace("None was", "")


@pytest.mark.usefixtures("undrawn")
def test_skipped_recordings_are_named_where_the_result_does(tmp_path: Path) -> None:
    problems = [{"path": "wav/a.wav", "kind": "silent", "detail": "no sample above 0"}]
    assert "wav/a.wav silent no sample above 0" in words(written(tmp_path, result(problems=problems)))


def test_names_are_harmless(whole: str, tmp_path: Path) -> None:
    entry = renamed(result(), {"07": HOSTILE, "site-1": HOSTILE, "sadness": HOSTILE})
    entry["command"] = entry["environment"]["cpu"] = entry["corpus"]["name"] = HOSTILE
    page = written(tmp_path, entry)
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page
    assert Outline(page).open == []
    assert page.count("<td") == whole.count("<td")


def test_strange_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    names = {"site-0": "医院", "site-1": "_private$x^", "site-2": "fill: #0f0f99", "site-3": "a" * 60}
    page = written(tmp_path, renamed(result(), names))
    svg = page[page.index('id="sites"') :]
    for name in ("医院", "_private$x^", "fill: #0f0f99", "a" * 15 + "…"):
        assert f">{name}</text>" in svg


def test_same_result_gives_the_same_bytes(whole: str, tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from server.reporting.report import write_report; "
        "from server.reporting.run_record import Result; from tests.server.example_result import result; "
        f"write_report(Result.from_json(result()), Path({str(tmp_path / 'other.html')!r}))"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env={"PYTHONPATH": ".", "PYTHONHASHSEED": "7"})
    assert (tmp_path / "other.html").read_text(encoding="utf-8") == whole


def test_a_hundred_sites_and_many_rounds_stay_light(tmp_path: Path) -> None:
    entry = fold(0, FULL)
    site = {"examples": 3, "loss": 1.0, "uar": 0.5}
    sites = {f"site-{index}": site for index in range(99)} | {"site-99": site | {"uar": None}}
    entry["rounds"] = [item | {"round": n + 1, "sites": sites} for n, item in enumerate(entry["rounds"] * 20)]
    page = written(tmp_path, result(folds=[entry], split=None))
    assert len(page) < 1_000_000
    assert "each of the 100" in page
    text = words(page)
    assert "site-99: Training loss 1.000 1.000 1.000 1.000" in text
    assert "site-99: Validation UAR – – – –" in text  # noqa: RUF001


def test_a_diverged_run_has_a_page_too(tmp_path: Path) -> None:
    entry = lean_result()
    for item in entry["folds"][0]["rounds"]:
        for site in item["sites"].values():
            site["loss"] = float("nan")
    assert "nan" not in words(written(tmp_path, entry)).lower().split()


def test_matplotlib_is_imported_by_the_figures_alone() -> None:
    modules = (Path(__file__).parents[3] / "server").rglob("*.py")
    assert sorted(path.name for path in modules if "matplotlib" in _imports(path)) == ["drawing.py", "figures.py"]


def _imports(path: Path) -> set[str]:
    return set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), flags=re.MULTILINE))


@pytest.mark.usefixtures("undrawn")
def test_on_top_is_what_a_stranger_gets_and_beside_it_what_more_recordings_give(tmp_path: Path) -> None:
    text = words(written(tmp_path, stranger_result(0.7, 0.75, 0.8, 0.833)))
    order = ["first recording 0.700", "after 8 0.800", "all known 0.833", "Pooled UAR 0.850"]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "What it reaches: a stranger's first recording 0.700, after 2 others of the speaker 0.750" in text
    assert "Federated UAR 0.833" not in text


def test_personal_models_have_two_tables_and_are_said_to_be_without_privacy(tmp_path: Path, whole: str) -> None:
    def both(before: float, after: float) -> dict[str, Any]:
        pairs = {"global": before, "personal": after}
        return {name: {"uar": own - 0.1, "wa": own, "count": 20} for name, own in pairs.items()}

    about = {"chosen": "prior", "epochs": 0, "judges": "8 recordings", "seen": False, "gain_ci95": None}
    known = {**about, "validation": both(0.5, 0.6), "new_recordings": both(0.6, 0.8)}
    personal = {"a": {**known, "unheard_speakers": None}, "b": {**known, "unheard_speakers": both(0.4, 0.5)}}
    entry = result() | {"folds": [own | {"personal": personal} for own in result()["folds"][:1]]}
    page = written(tmp_path, entry)
    text = words(page)
    assert "Each site's held-out speakers" in text
    assert "b prior 20 0.400 0.500 0.300 0.400 Mean 0.400 0.500 0.300 0.400" in text
    assert "a prior 20 0.600 0.800 0.500 0.700 b prior 20 0.600 0.800 0.500 0.700 Mean 0.600 0.800" in text
    assert "The sites' own models are without privacy" in text
    assert 'id="personal"' not in whole


def test_the_uar_in_noise_is_a_figure_with_its_numbers_where_it_was_measured(tmp_path: Path, whole: str) -> None:
    entry, levels = stranger_result(0.7, 0.75, 0.8, 0.833), ("clean", "20", "10", "5", "0")
    known: dict[str, Any] = {
        kind: {
            level: {
                name: {"mean": 0.7 - 0.1 * loud - less, "sd": None, "ci95": None} for name in ("uar", "wa", "macro_f1")
            }
            for loud, level in enumerate(levels)
        }
        for kind, less in (("pink", 0.0), ("babble", 0.01), ("room", 0.05))
    }
    entry["summary"] |= {"noise": known}
    page = written(tmp_path, entry)
    assert "Noise clean 20 dB 10 dB 5 dB 0 dB pink 0.700 0.600 0.500 0.400 0.300 babble 0.690 0.590" in words(page)
    assert 'id="noise"' in page
    assert "UAR by signal-to-noise ratio; at 10 dB pink 0.500, babble 0.490, room 0.450" in page
    assert 'id="noise"' not in whole
    assert "pink, 95 % interval" not in words(page)
    known["pink"]["20"]["uar"]["ci95"] = [0.51, 0.68]
    assert "0.300 pink, 95 % interval – 0.510 to 0.680 – – – babble 0.690" in words(written(tmp_path, entry))  # noqa: RUF001


def test_a_strangers_first_recordings_have_their_own_confusion_and_both_are_named(tmp_path: Path, whole: str) -> None:
    entry = stranger_result(0.7, 0.75, 0.8, 0.833)
    for own in entry["folds"]:
        own["confusion_first"] = [[5, 5, 0, 0], [1, 9, 0, 0], [0, 0, 10, 0], [0, 0, 0, 10]]
    page = written(tmp_path, entry)
    text, caption = words(page), "Test recordings of all folds, by true and by recognised class, "
    first, known = (
        text.index(caption + "a stranger's first recording"),
        text.index(caption + "all of the speaker known"),
    )
    assert first < known
    assert "anger 15 (50%) 15 (50%) 0 (0%) 0 (0%) 30" in text[first:known]
    assert "anger 22 (73%) 8 (27%) 0 (0%) 0 (0%) 30" in text[known:]
    assert (page.count('id="confusion-first"'), page.count('id="confusion"')) == (1, 1)
    assert 'id="confusion-first"' not in whole
    del entry["folds"][1]["confusion_first"]  # not all of the test: no picture of a part of it
    assert 'id="confusion-first"' not in written(tmp_path, entry)
    entry = stranger_result(0.7, 0.7, 0.7, 0.7) | {"transductive": False}
    for own in entry["folds"]:
        own["confusion_first"] = own["test"]["confusion"]
    assert 'id="confusion-first"' not in written(tmp_path, entry)


@pytest.mark.usefixtures("undrawn")
def test_where_nothing_adapts_there_is_one_figure(tmp_path: Path) -> None:
    same = stranger_result(0.833, 0.833, 0.833, 0.833)
    assert "Federated UAR 0.833" in words(written(tmp_path, same | {"transductive": False}))
    assert "first recording 0.833" in words(written(tmp_path, same))  # by chance the same: it adapts all the same


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, ", all of the speaker known"),
        ({"transductive": False, "stranger": (0.7, None, None, None)}, ", a stranger's first recording"),
        ({"transductive": False, "stranger": (0.833, 0.833, 0.833, 0.833)}, ""),
    ],
)
def test_pictures_say_what_was_heard_of_the_speakers_they_count(
    tmp_path: Path, changes: dict[str, Any], known: str
) -> None:
    told = changes.pop("stranger", (0.7, 0.75, 0.8, 0.833))
    text = words(written(tmp_path, stranger_result(*told) | changes))
    assert f"UAR on held-out speakers{known}. The dashed line" in text
    assert f"that the federated model recognised{known}. A ring" in text
    assert f"and the number of recordings{known}. Right answers" in text
    assert f"Held-out figures of each fold{known} " in text


def test_where_sites_score_strangers_alone_the_figure_says_so(tmp_path: Path) -> None:
    text = words(written(tmp_path, stranger_result(0.7, None, None, None) | {"transductive": False}))
    assert "first recording 0.700" in text
    assert "Transductive" not in text


@pytest.mark.usefixtures("undrawn")
def test_by_speaker_there_is_the_first_and_the_last(tmp_path: Path) -> None:
    text = words(written(tmp_path, stranger_result(0.7, None, None, 0.833)))
    assert "first recording 0.700" in text
    assert "after 8" not in text
