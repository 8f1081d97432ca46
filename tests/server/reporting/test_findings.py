from __future__ import annotations

from typing import Any

import pytest

from server.records.fold_record import PrivacyAccount
from server.reporting import findings, formatting
from server.reporting.frames import as_html
from server.reporting.run_record import Result, RunFold
from tests.server.example_result import SPENT, lean_result, privacy, result


def read(entry: dict[str, Any]) -> Result:
    return Result.from_json(entry)


def test_confusion_and_recall_sum_over_the_folds() -> None:
    assert findings.confusion(read(result()))[0] == [22, 8, 0, 0]
    recall = findings.recall(read(result()))
    assert recall["anger"] == pytest.approx(22 / 30)
    assert recall["sadness"] == pytest.approx(14 / 20)
    assert findings.recall(read(lean_result()))["sadness"] is None


def test_site_curves_are_the_mean_over_the_folds_and_leave_gaps() -> None:
    entry = result()
    del entry["folds"][0]["rounds"][1]["sites"]["site-1"]
    entry["folds"][2]["rounds"][1]["sites"]["site-1"]["loss"] = 2.0
    curves = findings.site_curves(read(entry), "loss")
    assert list(curves) == ["site-0", "site-1", "site-2", "site-3"]
    assert curves["site-1"][1] == pytest.approx((1.31 + 2.0) / 2)


def test_mean_curve_goes_on_where_a_curve_ends() -> None:
    assert findings.mean_curve([[1.0, None, 3.0], [3.0, None]]) == [2.0, None, 3.0]


def test_speakers_tested_in_two_folds_count_once() -> None:
    assert findings.test_speakers(read(result())) == 12
    folds = result()["folds"]
    assert findings.test_speakers(read(result(folds=[folds[0], folds[0]]))) == 4
    assert findings.test_speakers(read(result(folds=[fold | {"test_speakers": 4} for fold in folds]))) == 12


def test_interval_note_warns_below_twenty_speakers() -> None:
    assert "too narrow" in findings.interval_note(read(result()))
    folds = [result()["folds"][0] | {"test_speakers": 20}]
    assert "too narrow" not in findings.interval_note(read(result(folds=folds)))
    assert "another seed" in findings.interval_note(read(result(folds=folds)))


def test_transductive_is_as_stated_or_follows_from_the_normalisation() -> None:
    assert findings.is_transductive(read(result()))
    assert not findings.is_transductive(read(result(transductive=False)))
    assert not findings.is_transductive(read(lean_result()))
    assert findings.is_transductive(read(lean_result(config={"data": {"normalise": "speaker"}})))


def test_local_uar_is_the_mean_over_the_sites() -> None:
    fold = result()["folds"][0]
    fold["baselines"]["local"]["site-3"]["test"]["uar"] = 0.4
    assert findings.local_uar(RunFold.from_json(fold)) == pytest.approx((3 * 0.8 + 0.4) / 4)
    assert findings.local_uar(read(lean_result()).folds[0]) is None


def test_sites_are_counted_and_sorted_by_number() -> None:
    entry = result()
    of_site = entry["folds"][0]["rounds"][0]["sites"]["site-0"]
    for fold, rounds in zip(entry["folds"], ([["site-10", "site-9"], ["site-2"]], [["site-0"]]), strict=False):
        fold["rounds"] = [fold["rounds"][0] | {"sites": dict.fromkeys(sites, of_site)} for sites in rounds]
    whole = read(entry | {"folds": entry["folds"][:2]})
    assert findings.sites_of(whole.folds[0]) == ["site-2", "site-9", "site-10"]
    assert findings.site_count(whole) == "1 to 3 sites"


def test_the_kind_of_model_is_said() -> None:
    plain = {"model": {"hidden": 128, "statistics": "none"}}
    assert formatting.kind_of_model(plain) == "BiLSTM with attention"
    linear = {"model": {"hidden": 0, "statistics": "contours"}}
    assert (
        formatting.kind_of_model(linear)
        == "linear model that sees of each utterance what its features do together over time"
    )
    both = {"model": {"hidden": 8, "statistics": "means"}}
    assert formatting.kind_of_model(both) == "BiLSTM with attention that also sees its features' means and deviations"
    assert formatting.kind_of_model({}) == "BiLSTM with attention"
    named = {"kind": "linear", "hidden": 128, "statistics": "contours"}
    assert formatting.kind_of_model({"model": named}) == formatting.kind_of_model(linear)
    assert formatting.kind_of_model({"model": named | {"kind": "bilstm"}}).startswith("BiLSTM with attention")


def test_wording() -> None:
    assert formatting.score(None) == formatting.score(float("nan")) == formatting.NONE
    assert formatting.score(0.12345) == "0.123"
    assert formatting.duration(4.24) == "4.2 s"
    assert formatting.duration(185.2) == "3 min 05 s"
    assert formatting.duration(3725) == "1 h 02 min"
    assert formatting.flat({"a": {"b": [1, 2], "c": ""}, "d": None}) == {"a.b": "1, 2", "a.c": "–", "d": "–"}  # noqa: RUF001


def test_the_epsilon_of_a_run_is_claimed_for_the_sites_that_told_it_alone() -> None:
    silent = SPENT | {"epsilon": None}
    assert findings.claim(PrivacyAccount.from_json(privacy())) == "ε = 7.98"
    some = PrivacyAccount.from_json(
        privacy(sites={"a": SPENT | {"epsilon": 3.5}, "b": SPENT, "s-10": silent, "s-2": silent})
    )
    assert findings.claim(some) == "ε = 7.98 at a and b; at s-2 and s-10 it is not known, and may be larger"
    assert findings.untold(some) == ["s-2", "s-10"]
    assert findings.claim(PrivacyAccount.from_json(privacy(sites={"a": silent}))).startswith(
        "ε as the sites know it: they keep it to themselves"
    )


TOLD = "That ε is of one model: one recording is in the data of 4 models that this run trained, and these "


@pytest.mark.parametrize(
    ("every", "words"),
    [
        (None, ""),
        ({"epsilon": 7.98, "delta": 1e-5, "models": 1}, ""),
        ({"epsilon": 18.881, "delta": 1e-5, "models": 4}, TOLD + "together tell ε = 18.9 at δ = 1e-05 of it."),
        (
            {"epsilon": None, "delta": 1e-5, "models": 4},
            TOLD + "are not known to keep any ε together, for a site keeps to itself what it spent.",
        ),
    ],
)
def test_what_several_models_tell_together_is_said_beside_the_claim(every: dict[str, Any] | None, words: str) -> None:
    private = privacy() | ({"all": every} if every else {})
    assert findings.together(PrivacyAccount.from_json(private)) == words
    whole = Result.from_json(result(privacy=private))
    assert (words in as_html(whole).replace("&#39;", "'")) if words else "of one model" not in as_html(whole)


def test_sites_that_did_not_score_the_model_are_named_beside_the_figures() -> None:
    entry = result()
    assert "not in the figures" not in findings.interval_note(read(entry))
    entry["folds"][0]["test_sites"] = {"a": 4, "b": None, "c": None}
    assert findings.unscored(read(entry)) == ["b", "c"]
    note = findings.interval_note(read(entry))
    assert note.endswith("Held-out speakers at b and c are not in the figures: the model was not scored there.")


def test_names_are_listed_as_a_text_lists_them() -> None:
    assert [findings.joined(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["kfold:3:0", "kfold:3:1", "kfold:3:2"], ""),
        (["language:de"], "The figure for an unheard language: de was held out with all who speak it."),
        (["language:de", "language:en"], "unheard language: each of de and en was, in a fold, held out"),
    ],
)
def test_an_unheard_language_is_named(names: list[str], words: str) -> None:
    folds = [{**entry, "fold": name} for name, entry in zip(names, result()["folds"], strict=False)]
    said = findings.unheard(read(result(folds=folds)))
    assert words in said
    assert bool(said) is bool(words)
