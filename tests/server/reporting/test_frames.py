"""A result as a notebook shows it."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from typing import Any

import pytest

from common.errors import UsageError
from server.reporting import frames
from server.reporting.run_record import Result
from tests.server.example_result import deployed_result, lean_result, privacy, renamed, result


def read(entry: dict[str, Any]) -> Result:
    return Result.from_json(entry)


def test_a_row_a_fold_has_the_figures_of_all_models() -> None:
    rows = list(frames.of_folds(read(result(privacy=privacy()))))
    assert [row["fold"] for row in rows] == ["0", "1", "2"]
    assert [round(row["uar"], 3) for row in rows] == [0.85, 0.8, 0.85]
    assert [row["pooled_uar"] for row in rows] == pytest.approx([0.85] * 3)
    assert {row["epsilon"] for row in rows} == {None}
    assert next(frames.of_folds(read(lean_result())))["pooled_uar"] is None
    assert next(frames.of_folds(read(deployed_result())))["epsilon"] == 7.98


def test_a_row_a_round_and_a_row_a_site() -> None:
    whole = read(result())
    rounds, sites = list(frames.of_rounds(whole)), list(frames.of_sites(whole))
    assert (len(rounds), len(sites)) == (3 * 5, 3 * 5 * 4)
    assert (rounds[2]["round"], rounds[2]["uar"], rounds[2]["refit"]) == (3, 0.5, False)
    assert (sites[1]["site"], sites[1]["loss"], sites[1]["epsilon"]) == ("site-1", 1.41, None)
    assert [row["uar"] for row in frames.of_rounds(read(lean_result()))] == [None] * 5


def test_they_make_a_data_frame() -> None:
    pytest.importorskip("pandas")
    frame = read(result()).to_pandas("sites")
    assert frame.groupby("round")["loss"].mean().round(3).tolist() == [1.415, 1.315, 1.215, 1.115, 1.015]


def test_without_pandas_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"to_pandas needs pandas, .* install fedser\[notebook\]"):
        read(result()).to_pandas()
    with pytest.raises(UsageError, match="rows is 'epochs', expected folds, rounds, sites"):
        read(result()).to_pandas("epochs")


class Balanced(HTMLParser):
    """The elements of a piece of HTML, each of which is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_notebook_shows_the_models_and_the_privacy_whatever_a_site_is_called() -> None:
    shown = read(renamed(result(privacy=privacy()), {"site-1": "<script>x</script>"}))._repr_html_()
    assert "script" not in Balanced(shown).tags
    assert "EMO-DB: 4 emotions, 4 sites, FedAvg" in shown
    assert "with differential privacy for each utterance, ε = 7.98" in shown
    assert '<th scope="row">Federated</th><td>0.833</td>' in shown
    lean = read(lean_result())._repr_html_()
    assert "without differential privacy. There is no 95 % interval" in lean
    assert repr(read(result())) == "<Result: UAR 0.833, 3 folds of emodb>"
