from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import UsageError
from simulations.sweep.statistics.compare import COVERS, Change, Compared, as_json, compare, problem, table
from simulations.sweep.statistics.paired import Difference, least_p
from simulations.sweep.statistics.series import read
from tests.simulations.sweep import example_benchmark

SKILL = {"inf": 0.8, "utterance:8": 0.6}


def compared(folder: Path, before: dict[str, Any], after: dict[str, Any]) -> Compared:
    one = example_benchmark.write(folder / "before", **before)
    return compare(read(one), read(example_benchmark.write(folder / "after", **after)))


def why(found: Compared, *, allow_missing: bool = False) -> str:
    return problem(found, 0.0, first="before", second="after", allow_missing=allow_missing) or ""


def test_the_same_benchmark_does_not_differ_and_a_worse_one_is_found(tmp_path: Path) -> None:
    before = read(example_benchmark.write(tmp_path / "before", skill=SKILL))
    same = compare(before, before)
    assert [own.difference.mean for own in same.changes] == [0.0, 0.0]
    assert (same.verdict(0.0), same.missing, same.extra) == ("passed", [], [])
    found = compared(tmp_path, {"skill": SKILL}, {"skill": SKILL | {"utterance:8": 0.4}})
    plain, private = found.changes
    assert not plain.worse(0.0)
    assert private.worse(0.05)
    assert not private.worse(0.5)
    assert private.corrected < 0.01
    assert private.difference.mean == pytest.approx(private.after - private.before)
    assert [found.verdict(tolerance) for tolerance in (0.0, 0.5)] == ["worse", "passed"]
    assert why(found) == "after is worse than before: utterance, ε = 8"


@pytest.mark.parametrize(("corrected", "words"), [(0.04, ("worse", "better")), (0.06, ("not told apart", "not worse"))])
def test_an_interval_beside_a_corrected_p_that_contradicts_it_tells_nothing_apart(
    corrected: float, words: tuple[str, str]
) -> None:
    ends = ((-0.2, -0.01), (0.01, 0.2))
    changes = [
        Change(
            name="utterance, ε = 8",
            before=0.5,
            after=0.4,
            difference=Difference(mean=sum(interval) / 2, ci95=interval, p=0.01),
            corrected=corrected,
        )
        for interval in ends
    ]
    assert tuple(row[-1] for row in table(changes, 0.0).rows) == words
    found = Compared(changes=changes, missing=[], extra=[])
    assert found.verdict(0.0) == ("worse" if corrected < 0.05 else "passed")


def test_conditions_folds_and_seeds_that_one_lacks_are_named(tmp_path: Path) -> None:
    found = compared(
        tmp_path, {"skill": SKILL, "seeds": (0, 1)}, {"skill": {"inf": 0.8, "site:8": 0.3}, "seeds": (0, 2)}
    )
    assert [own.name for own in found.changes] == ["no privacy"]
    assert found.missing == [
        "no privacy: fold kfold:3:0, kfold:3:1, kfold:3:2 with seed 1",
        "utterance, ε = 8: all of it",
    ]
    assert found.extra == ["no privacy: fold kfold:3:0, kfold:3:1, kfold:3:2 with seed 2", "site, ε = 8: all of it"]
    assert found.verdict(0.0) == "incomplete"
    assert why(found).startswith("after lacks what before has (no privacy: fold kfold:3:0")
    assert (found.verdict(0.0, allow_missing=True), why(found, allow_missing=True)) == ("passed", "")


def test_of_much_that_is_missing_the_line_names_the_first(tmp_path: Path) -> None:
    found = compared(tmp_path, {"skill": SKILL | {"site:8": 0.3, "speaker:8": 0.3}}, {"skill": {"inf": 0.8}})
    assert len(found.missing) == 3
    assert "utterance, ε = 8: all of it; speaker, ε = 8: all of it; and 1 more, see above)" in why(found)


def test_what_only_the_second_has_is_no_fault(tmp_path: Path) -> None:
    found = compared(tmp_path, {"skill": {"inf": 0.8}}, {"skill": SKILL, "seeds": (0, 1)})
    assert (found.missing, len(found.extra)) == ([], 2)
    assert found.verdict(0.0) == "passed"


def test_a_benchmark_that_isnt_finished_is_compared_on_the_folds_it_has(tmp_path: Path) -> None:
    whole = example_benchmark.write(tmp_path / "whole", skill={"inf": 0.8}, seeds=(0, 1))
    part = example_benchmark.write(tmp_path / "part", skill={"inf": 0.8}, seeds=(0, 1))
    lines = (part / "results.jsonl").read_text().splitlines(keepends=True)
    (part / "results.jsonl").write_text("".join(lines[:4]))
    found = compare(read(whole), read(part))
    assert found.missing == ["no privacy: fold kfold:3:2 with seed 0, 1"]
    assert found.changes[0].difference.mean == 0.0


@pytest.mark.parametrize(
    "after",
    [
        {"skill": {"utterance:8": 0.7}},
        {"skill": {"inf": 0.7}, "seeds": (5,)},
        {"skill": {"inf": 0.7}, "speakers": [f"other-{i}" for i in range(4)]},
    ],
)
def test_where_nothing_can_be_paired_the_check_fails(tmp_path: Path, after: dict[str, Any]) -> None:
    speakers = after.pop("speakers", None)
    one = example_benchmark.write(tmp_path / "one", skill={"inf": 0.7})
    other = read(example_benchmark.write(tmp_path / "other", **after))
    for row in other.rows if speakers else []:
        row["details"]["speakers"] = speakers
    found = compare(read(one), other)
    assert (found.changes, found.verdict(0.0, allow_missing=True)) == ([], "nothing compared")
    assert "cannot be compared (no privacy: " in why(found, allow_missing=True)


def test_too_few_speakers_to_show_any_difference_do_not_pass(tmp_path: Path) -> None:
    assert (least_p(5), least_p(20)) == (2 / 32, 1 / 10000)
    folders = []
    for name, skill in (("before", 0.9), ("after", 0.3)):
        folder = example_benchmark.write(tmp_path / name, skill={"inf": skill})
        line = json.loads((folder / "results.jsonl").read_text().splitlines()[0])
        (folder / "results.jsonl").write_text(json.dumps(line) + "\n")  # a fold of four speakers
        folders.append(folder)
    found = compare(*map(read, folders))
    assert [row[-1] for row in table(found.changes, 0.0).rows] == ["unknown: too few speakers"]
    assert found.verdict(0.0) == "nothing compared"
    assert "too few test speakers" in why(found)


def test_the_json_has_the_verdict_and_what_is_missing_and_what_the_figures_cover(tmp_path: Path) -> None:
    found = compared(tmp_path, {"skill": SKILL}, {"skill": {"inf": 0.8}})
    told = json.loads(json.dumps(as_json(found, 0.0)))
    assert (told["verdict"], told["missing"], told["extra"]) == ("incomplete", ["utterance, ε = 8: all of it"], [])
    assert told["covers"] == COVERS
    assert "seed" in COVERS
    assert [(own["condition"], own["worse"]) for own in told["conditions"]] == [("no privacy", False)]


def test_other_emotions_are_refused(tmp_path: Path) -> None:
    one = read(example_benchmark.write(tmp_path / "one", skill={"inf": 0.7}))
    corpus = one.about["corpus"] | {"classes": ["anger", "fear", "joy", "sadness"]}
    with pytest.raises(UsageError, match="expected the same emotions"):
        compare(one, read(example_benchmark.write(tmp_path / "other", skill={"inf": 0.7}, corpus=corpus)))
