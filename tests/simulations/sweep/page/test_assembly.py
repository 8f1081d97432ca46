from __future__ import annotations

import csv
import html
import itertools
import math
import re
from pathlib import Path
from typing import Any

import pytest

from simulations.sweep.page import frontier, leaks
from simulations.sweep.page.assembly import write_page
from simulations.sweep.page.chapter import chapter, notes
from simulations.sweep.page.effort import effort
from simulations.sweep.page.used_settings import by_condition, in_common
from simulations.sweep.statistics.effects import summary
from simulations.sweep.statistics.paired import Estimate
from simulations.sweep.statistics.series import Benchmark, read
from tests.browser import chromium, visit
from tests.server.reporting.test_report import Outline
from tests.simulations.sweep import example_benchmark


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = example_benchmark.write(
        tmp_path_factory.mktemp("page"), audited=True, reference={"uar": 0.75, "ci95": None}
    )
    write_page([read(folder)], folder)
    return folder


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL)).split())


def test_the_page_is_whole_and_well_formed(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {f"#{name}" for name in ids} >= {link["href"] for link in outline.named("a")}
    levels = [int(tag[1]) for tag, _ in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_figure_has_a_name_a_caption_its_numbers_and_the_command(page: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", page, flags=re.DOTALL)
    assert len(figures) == 7
    for figure in figures:
        assert re.search(r'<svg [^>]*role="img" aria-labelledby="[^"]+"', figure)
        assert re.search(r"<title id=[^>]+>[^<]{20,}", figure)
        assert "<figcaption><h4>" in figure
        assert "<table" in figure
        assert "fedser benchmark --corpus emodb" in figure


def test_it_loads_nothing_and_runs_nothing(page: str) -> None:
    assert "<script" not in page
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))


def test_what_the_reader_must_know_is_said(page: str) -> None:
    text = words(page)
    assert "What privacy costs in accuracy: EMO-DB" in text
    assert "There are 12 test speakers. Below 20 the intervals are too narrow" in text
    assert "The unrestricted figure is of a run of fedser simulate" in text
    assert "what one person contributes with all recordings at a site" in text
    assert "--insecure-seed" not in text
    assert "What attacks find" in text


def test_what_a_stranger_gets_stands_in_a_section_where_models_adapt(page: str, tmp_path: Path) -> None:
    folder = example_benchmark.write(tmp_path, skill={"inf": 0.7, "site:8": 0.5}, adapts=True)
    write_page([read(folder)], folder)
    [head, *rows] = list(csv.reader((folder / "tables/heard.csv").read_text().splitlines()))
    assert head[2:] == ["A stranger's first recording", "After 8 others of the speaker", "All of the speaker known"]
    assert [row[:2] for row in rows] == [
        ["no privacy", "federated"],
        ["no privacy", "pooled"],
        ["site, ε = 8", "federated"],
    ]
    main = list(csv.DictReader((folder / "tables/frontier.csv").read_text().splitlines()))
    for row in rows:
        told = [float(cell.split()[0]) for cell in row[2:]]
        assert told[0] < told[1] == told[2]
    assert [rows[0][4].split()[0], rows[2][4].split()[0]] == [row["UAR"] for row in main]
    assert "What a stranger gets" in words((folder / "report.html").read_text(encoding="utf-8"))
    assert "What a stranger gets" not in words(page)


def test_two_front_ends_stand_side_by_side(tmp_path: Path) -> None:
    skill = {"inf": 0.5, "utterance:8": 0.4, "utterance:2": 0.3}
    skill |= {f"{condition}:encoder": right + 0.3 for condition, right in skill.items()}
    whole = read(example_benchmark.write(tmp_path, skill=skill, audited=True))
    told = chapter(whole)
    figures = {figure.key: figure for section in told.sections for figure in section.figures}
    of = ("no privacy", "utterance, ε = 8", "utterance, ε = 2")
    named = [f"{privacy}, {front}" for privacy in of for front in ("classic", "encoder")]
    for key in ("frontier", "attacks"):
        assert [row[0] for row in figures[key].table.rows] == named
    better = [row for row in figures["differences"].table.rows if row[1] == "classic features"]
    assert [row[0] for row in better] == named[1::2]
    assert all(float(row[2]) > 0.2 for row in better)
    assert "Classic conditions share the strictest one's normalisation" in figures["frontier"].caption
    assert any(sentence.startswith("The encoder, utterance, ε = 8: ") for sentence in told.meaning)
    assert any("frozen public encoder (Small Ear, SHA-256 abababababababab…" in note for note in told.notes)
    assert [own.get("encoder") for own in summary(whole)[:2]] == [None, example_benchmark.ENCODER]


@pytest.mark.parametrize(
    ("conditions", "shared", "apart"),
    [
        (("inf", "site:8"), " All conditions share the strictest one's", False),
        (("inf", "inf:encoder"), " Classic conditions share the strictest one's", True),
        (("inf:encoder", "site:8:encoder"), "", True),
    ],
)
def test_the_caption_says_who_shares_a_recipe(
    tmp_path: Path, conditions: tuple[str, ...], shared: str, apart: bool
) -> None:
    caption = frontier._caption(read(example_benchmark.write(tmp_path, skill=dict.fromkeys(conditions, 0.5))))
    assert (shared in caption, "conditions share" in caption) == (True, bool(shared))
    assert ("trained as its own recipe says" in caption) == apart


def test_front_ends_differ_in_their_markers(tmp_path: Path) -> None:
    skill = {"inf": 0.5, "utterance:8": 0.4, "utterance:2": 0.3, "inf:encoder": 0.7, "utterance:8:encoder": 0.6}
    series = read(example_benchmark.write(tmp_path, skill=skill, audited=True)).series
    named = ["no privacy, classic", "no privacy, encoder", "utterance, classic", "utterance, encoder"]
    curves = frontier.curves([(own, Estimate(mean=0.5, ci95=None)) for own in series])
    drawn = leaks._panels([(own, own.rows[0]["audit"]) for own in series])["Gender, UAR"][0]
    for found in (curves, drawn):
        assert [curve.name for curve in found] == named
        assert len({curve.marker for curve in found}) == 4
    assert [len(curve.points) for curve in drawn] == [1, 1, 2, 1]


def test_a_unit_that_an_attack_does_not_apply_to_has_a_dash(out: Path) -> None:
    rows = (out / "tables/attacks.csv").read_text().splitlines()
    assert rows[0].endswith('"Gender, UAR","ε at least, by canaries",Most that these could prove,ε claimed')
    assert rows[1].endswith("–,–,–")  # noqa: RUF001
    assert rows[-1].split(",")[-4:] == ["–", "–", "–", "–"]  # noqa: RUF001


def test_both_attacks_on_membership_are_in_the_table_and_the_stronger_is_drawn(out: Path, page: str) -> None:
    [head, *rows] = list(csv.reader((out / "tables/attacks.csv").read_text().splitlines()))
    columns = [head.index(f"AUC, speakers, {attack}") for attack in ("likelihood ratio", "loss")]
    assert [rows[0][column] for column in columns] == ["0.660 (0.610 to 0.710)", "0.600 (0.500 to 0.700)"]
    assert rows[1][head.index("Most that these could prove")] == "5.030"
    audited = [(series, series.rows[0]["audit"]) for series in read(out).series]
    drawn = [point for curve in leaks._panels(audited)["AUC, speakers"][0] for point in curve.points]
    by_epsilon = {point.epsilon: point for point in drawn[:4]}
    assert [by_epsilon[epsilon].value for epsilon in (math.inf, 2.0)] == pytest.approx([0.66, 0.6])
    assert [by_epsilon[epsilon].open for epsilon in (math.inf, 2.0)] == [False, True]
    text = words(page)
    assert "lies wholly below 0.5 says that the attack does not fit this model, not that the model protects" in text
    assert "so many canaries could prove 5.03 at most" in text


def test_settings_are_those_that_the_trials_ran_with(out: Path, page: str) -> None:
    table = {row[0]: row[1:] for row in csv.reader((out / "tables/settings-by-condition.csv").read_text().splitlines())}
    assert table["Setting"][:2] == ["no privacy", "utterance, ε = 8"]
    assert table["training.optimizer"] == ["adamw", "sgd", "sgd", "sgd", "sgd", "adamw"]
    shared = (out / "tables/settings.csv").read_text()
    assert "training.optimizer" not in shared
    assert "federation.strategy,fedavg" in shared
    assert "conditions,inf utterance:8" in shared.replace('"', "").replace(",utterance", " utterance")
    assert "adamw for no privacy and site; sgd for utterance and speaker" in words(page)


def test_a_setting_that_was_tuned_has_its_ends_and_one_of_no_privacy_a_dash() -> None:
    lines = []
    for fold in range(4):
        for condition, clip in (("inf", 1.0), ("utterance:8", 0.5)):
            line = example_benchmark.row(condition, fold % 3, fold, skill=0.5)
            line["config"] |= {"training.learning_rate": 2.0**fold, "privacy.max_grad_norm": clip}
            lines.append(line)
    about = {"settings": {"seeds": "0", "training.learning_rate": 9.0}}
    table = by_condition(Benchmark(path=Path(), about=about, rows=lines))
    assert {row[0]: list(row[1:]) for row in table.rows} == {
        "training.learning_rate": ["1 to 8", "1 to 8"],
        "training.optimizer": ["adamw", "sgd"],
    }
    shared = in_common(Benchmark(path=Path(), about=about, rows=lines))
    assert (shared["privacy.max_grad_norm"], shared["seeds"]) == (0.5, "0")
    assert "training.learning_rate" not in shared


@pytest.mark.parametrize(
    ("asked", "included"),
    [({"baselines": True, "shadows": 4}, ", baselines and attacks included."), ({"baselines": False}, ".")],
)
def test_the_wall_time_says_what_is_in_it(tmp_path: Path, asked: dict[str, Any], included: str) -> None:
    whole = read(example_benchmark.write(tmp_path, skill={"inf": 0.7}, settings=asked))
    assert effort(whole, "").words == f"The whole benchmark took 3 min 00 s{included}"


def test_captions_claim_no_more_than_they_know(page: str) -> None:
    text = words(page)
    assert "Below 1 the noise is longer than the signal." in text
    assert "nothing can be learnt" not in text
    assert "results.jsonl, in the benchmark's own folder" in text
    assert "computed, not measured: 4 for each parameter, each round and each site" in text
    assert "Time and bytes" not in text


def test_a_presets_notes_are_on_the_page_and_an_unknown_one_has_none(tmp_path: Path) -> None:
    told = notes(read(example_benchmark.write(tmp_path / "a", preset="ravdess")))
    assert any("chosen on validation speakers among the 20 training actors of fold 0" in note for note in told)
    other = notes(read(example_benchmark.write(tmp_path / "b", preset="of another release")))
    assert other == notes(read(example_benchmark.write(tmp_path / "c")))


@pytest.mark.parametrize(
    ("about", "words_of_it"),
    [
        ({"trials": 40}, "18 of 40 trials are finished"),
        ({"deviations": ["emodb is about 535 recordings, this corpus has 339"]}, "its figures are not the protocol's"),
        ({"settings": {"tune": 8}}, "among 8 candidates"),
    ],
)
def test_notes(tmp_path: Path, about: dict[str, Any], words_of_it: str) -> None:
    assert words_of_it in " ".join(notes(read(example_benchmark.write(tmp_path / "a", **about))))


def test_a_made_up_corpus_and_an_insecure_seed_are_marked(tmp_path: Path) -> None:
    folder = example_benchmark.write(tmp_path / "a", skill={"inf": 0.7, "site:8": 0.3})
    whole = read(folder)
    corpus = whole.about["corpus"] | {"synthetic": True}
    folder = example_benchmark.write(
        tmp_path / "b",
        skill={"inf": 0.7, "site:8": 0.3},
        corpus=corpus,
        change={"config": whole.rows[0]["config"] | {"privacy.insecure_seed": True}},
    )
    write_page([read(folder)], folder)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text()
        assert "synthetic speech" in text
        assert "--insecure-seed" in text


def test_the_unrestricted_figure_stands_beside_that_without_privacy(out: Path) -> None:
    page = (out / "report.html").read_text()
    assert "Unrestricted, with the normalisation, the model and the augmentation" in page
    assert re.search(r"unrestricted, no privacy.{0,200}0\.750.{0,200}no interval", page, flags=re.DOTALL)


def test_tables_and_figures_lie_beside_it(out: Path) -> None:
    figures = {path.name for path in (out / "figures").iterdir()}
    names = {"frontier", "attacks", "differences", "groups", "recall", "cost", "spent"}
    assert figures == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}
    assert {f"{name}.csv" for name in names} <= {path.name for path in (out / "tables").iterdir()}
    for path in (out / "figures").glob("*.svg"):
        text = path.read_text()
        assert "#0f0f" not in text  # a stand-in colour
        assert "fedser benchmark" in text
        assert "var(--" not in text
    assert (out / "figures/frontier.png").read_bytes().startswith(b"\x89PNG")
    markdown = (out / "report.md").read_text()
    for link in re.findall(r"\]\((figures/[^)]+)\)", markdown):
        assert (out / link).exists()


@pytest.mark.slow
def test_the_same_lines_give_the_same_bytes(out: Path, page: str, tmp_path: Path) -> None:
    write_page([read(out)], tmp_path)
    assert (tmp_path / "report.html").read_text() == page
    assert (tmp_path / "figures/frontier.png").read_bytes() == (out / "figures/frontier.png").read_bytes()
    assert (tmp_path / "figures/frontier.svg").read_bytes() == (out / "figures/frontier.svg").read_bytes()


@pytest.mark.slow
def test_several_benchmarks_are_chapters_of_one_page(tmp_path: Path) -> None:
    one = example_benchmark.write(tmp_path / "one", skill={"inf": 0.7, "utterance:8": 0.5})
    other = example_benchmark.write(
        tmp_path / "other", skill={"inf": 0.6}, strategies=("fedavg", "fedprox"), seeds=(0, 1)
    )
    write_page([read(one), read(other)], tmp_path / "both")
    page = (tmp_path / "both/report.html").read_text()
    outline = Outline(page)
    assert outline.open == []
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"b1-frontier", "b2-frontier"} <= set(ids)
    assert "no privacy, fedprox" in words(page)


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_wide_and_narrow(out: Path, width: int, scheme: Any) -> None:
    with chromium() as browser, visit(browser, out / "report.html", width=width, scheme=scheme) as seen:
        assert seen.overflow() == 0
        seen.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert seen.overflow() == 0
        assert (seen.requests, seen.complaints) == ([], [])
        assert seen.page.get_by_role("img").count() == 7
        text = seen.page.locator("#frontier svg text").first.bounding_box()
        assert text is not None
        assert text["height"] >= 9  # pixels: still readable on a phone


@pytest.mark.slow
def test_print_has_the_numbers_of_every_figure(out: Path) -> None:
    with chromium() as browser, visit(browser, out / "report.html", width=690) as seen:  # A4 without its margins
        seen.page.emulate_media(media="print")
        tables = seen.page.locator("figure table")
        assert tables.count() == 7
        for table in tables.all():
            box = table.bounding_box()
            assert box is not None
            assert box["height"] > 50
            assert box["x"] + box["width"] <= 690
        assert "p, corrected for" in seen.page.locator("#differences").inner_text()
        assert "0.660 (0.610 to 0.710)" in seen.page.locator("#attacks").inner_text()
        assert seen.page.pdf(format="A4").startswith(b"%PDF")
