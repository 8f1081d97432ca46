from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.errors import UsageError
from simulations.benchmark import findings, tables
from simulations.benchmark.compare import compare
from simulations.benchmark.series import Benchmark, read
from simulations.benchmark.wording import meaning, name
from tests.simulations.benchmark import example_benchmark


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return read(example_benchmark.write(tmp_path_factory.mktemp("findings"), seeds=(0, 1)))


def test_series_come_with_no_privacy_first_and_the_largest_epsilon_of_each_unit(whole: Benchmark) -> None:
    conditions = [series.condition for series in whole.series]
    assert conditions == ["inf", "utterance:8", "utterance:2", "utterance:1", "speaker:8", "site:8"]
    assert [name(whole, series) for series in whole.series][:2] == ["no privacy", "utterance, ε = 8"]
    assert np.shape(whole.series[0].counts()) == (3, 2, 4, 4, 4)
    assert np.shape(whole.series[0].counts("local")) == (3, 8, 4, 4, 4)
    assert whole.series[-1].counts("pooled") == []


def test_the_mean_is_that_of_the_folds_and_the_seeds_are_shown_apart(whole: Benchmark) -> None:
    own = findings.result(whole.series[0])
    by_trial = [row["test"]["uar"] for row in whole.rows if row["details"]["condition"] == "inf"]
    assert own.uar.mean == pytest.approx(np.mean(by_trial))
    for seed in (0, 1):
        of_seed = [row["test"]["uar"] for row in whole.rows if row["unit"] is None and row["seed"] == seed]
        assert own.by_seed[seed] == pytest.approx(np.mean(of_seed))


def test_every_private_series_is_compared_with_none_and_each_with_its_pooled_model(whole: Benchmark) -> None:
    found = findings.comparisons(whole)
    assert [(own.series.condition, own.against) for own in found] == [
        ("inf", "pooled"),
        ("utterance:8", "no privacy"),
        ("utterance:8", "pooled, same privacy"),
        ("utterance:2", "no privacy"),
        ("utterance:2", "pooled, same privacy"),
        ("utterance:1", "no privacy"),
        ("utterance:1", "pooled, same privacy"),
        ("speaker:8", "no privacy"),
        ("speaker:8", "pooled, same privacy"),
        ("site:8", "no privacy"),
    ]
    assert all(own.corrected >= own.difference.p for own in found)
    results = {own.series.condition: own.uar.mean for own in findings.results(whole)}
    assert found[1].difference.mean == pytest.approx(results["utterance:8"] - results["inf"])


def test_groups_are_scored_over_their_own_speakers(whole: Benchmark) -> None:
    found = [group for group in findings.groups(whole, "gender") if group.series is whole.series[1]]
    assert [(group.value, group.speakers) for group in found] == [("female", 6), ("male", 6)]
    women = np.stack([counts for who, counts in whole.series[1].speakers().items() if int(who) % 2])
    recalls = [np.diagonal(m) / m.sum(axis=1) for m in women.sum(axis=0)]
    assert found[0].uar.mean == pytest.approx(np.mean(recalls))
    assert found[0].cost is not None
    plain = next(g for g in findings.groups(whole, "gender") if g.series is whole.series[0] and g.value == "female")
    assert found[0].cost == pytest.approx(plain.uar.mean - found[0].uar.mean)
    assert findings.groups(whole, "language") == []  # all speak the same
    assert len([g for g in findings.groups(whole, "speaker") if g.series is whole.series[0]]) == 12
    low = findings.worst(found, whole.series[1])
    assert low is not None
    assert low.value == "male"


def test_recall_is_over_all_recordings(whole: Benchmark) -> None:
    total = np.sum([np.sum(fold, axis=(0, 1)) for fold in whole.series[0].counts()], axis=0)
    assert findings.recall(whole.series[0]) == pytest.approx(np.diagonal(total) / total.sum(axis=1))


def test_a_benchmark_that_isnt_finished_shows_the_folds_that_all_seeds_have(tmp_path: Path) -> None:
    out = example_benchmark.write(tmp_path / "part", seeds=(0, 1), skill={"inf": 0.7, "utterance:8": 0.5})
    lines = (out / "results.jsonl").read_text().splitlines(keepends=True)
    (out / "results.jsonl").write_text("".join(lines[:-2]))  # of utterance:8 two folds are left
    plain, private = read(out).series
    assert (len(plain.folds), len(private.folds)) == (3, 2)
    [_, against, _] = findings.comparisons(read(out))
    both = np.mean([plain.counts(folds=private.folds)[i].sum(axis=1)[0].trace() for i in range(2)])
    assert both > 0
    assert against.difference.ci95 is not None


def test_the_words_say_what_the_figures_say(whole: Benchmark) -> None:
    results, comparisons = findings.results(whole), findings.comparisons(whole)
    words = " ".join(meaning(whole, results, comparisons, findings.groups(whole, "gender")))
    assert "Without privacy the federation reaches a UAR of 0.7" in words
    assert "With speaker, ε = 8: 0.2" in words
    assert words.count("That can't be told from guessing.") == 3  # utterance:1, speaker and site
    assert "The genders' costs differ most at utterance, ε = " in words


def test_wall_time_leaves_the_pauses_between_sessions_out(tmp_path: Path) -> None:
    whole = read(example_benchmark.write(tmp_path / "wall", skill={"inf": 0.7}))
    assert findings.wall_seconds(whole) == 180.0


def test_tables_are_written_as_markdown_and_csv(whole: Benchmark) -> None:
    table = tables.frontier(whole, findings.results(whole))
    assert table.head[:3] == ["Condition", "UAR", "95 % interval"]
    assert "Seed 1" in table.head
    assert tables.as_markdown(table).splitlines()[3] == "|---|---|---|---|---|---|---|---|---|---|"
    assert tables.as_csv(table).splitlines()[1].startswith("no privacy,0.")
    assert len(tables.as_csv(table).splitlines()) == 7


def test_the_sites_table_has_the_signal_over_the_noise(whole: Benchmark) -> None:
    row = next(row for row in tables.spent(whole).rows if row[0] == "utterance, ε = 8")
    # q n sqrt(T) / (sigma sqrt(d)) with q 0.25, n 240, T 200, sigma 3/8, d 1500
    assert float(row[-1]) == pytest.approx(0.25 * 240 * 200**0.5 / (0.375 * 1500**0.5), abs=0.01)


def test_the_same_benchmark_does_not_differ_and_a_worse_one_is_found(tmp_path: Path) -> None:
    skill = {"inf": 0.8, "utterance:8": 0.6}
    before = read(example_benchmark.write(tmp_path / "before", skill=skill))
    after = read(example_benchmark.write(tmp_path / "after", skill={"inf": 0.8, "utterance:8": 0.4}))
    same = compare(before, before)
    assert [own.difference.mean for own in same] == [0.0, 0.0]
    assert not any(own.worse(0.0) for own in same)
    plain, private = compare(before, after)
    assert not plain.worse(0.0)
    assert private.worse(0.05)
    assert not private.worse(0.5)
    assert private.corrected < 0.01
    assert private.difference.mean == pytest.approx(private.after - private.before)


def test_benchmarks_that_cannot_be_paired_are_refused(tmp_path: Path) -> None:
    one = read(example_benchmark.write(tmp_path / "one", skill={"inf": 0.7}))
    other = read(example_benchmark.write(tmp_path / "other", skill={"utterance:8": 0.7}))
    with pytest.raises(UsageError, match="no condition in common"):
        compare(one, other)
    seeds = read(example_benchmark.write(tmp_path / "seeds", skill={"inf": 0.7}, seeds=(5,)))
    with pytest.raises(UsageError, match="the same seeds, folds and test speakers"):
        compare(one, seeds)
