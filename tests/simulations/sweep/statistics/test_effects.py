from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from common.learning import metrics
from simulations.sweep.page import result_tables
from simulations.sweep.statistics import effects
from simulations.sweep.statistics.sentences import meaning, name
from simulations.sweep.statistics.series import Benchmark, read
from tests.simulations.sweep import example_benchmark


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
    own = effects.result(whole.series[0])
    by_trial = [row["test"]["uar"] for row in whole.rows if row["details"]["condition"] == "inf"]
    assert own.uar.mean == pytest.approx(np.mean(by_trial))
    for seed in (0, 1):
        of_seed = [row["test"]["uar"] for row in whole.rows if row["unit"] is None and row["seed"] == seed]
        assert own.by_seed[seed] == pytest.approx(np.mean(of_seed))


def test_every_private_series_is_compared_with_none_and_each_with_its_pooled_model(whole: Benchmark) -> None:
    found = effects.comparisons(whole)
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
    results = {own.series.condition: own.uar.mean for own in effects.results(whole)}
    assert found[1].difference.mean == pytest.approx(results["utterance:8"] - results["inf"])


def test_groups_are_scored_over_their_own_speakers(whole: Benchmark) -> None:
    found = [group for group in effects.groups(whole, "gender") if group.series is whole.series[1]]
    assert [(group.value, group.speakers) for group in found] == [("female", 6), ("male", 6)]
    women = np.stack([counts for who, counts in whole.series[1].speakers().items() if int(who) % 2])
    recalls = [np.diagonal(m) / m.sum(axis=1) for m in women.sum(axis=0)]
    assert found[0].uar.mean == pytest.approx(np.mean(recalls))
    assert found[0].cost is not None
    plain = next(g for g in effects.groups(whole, "gender") if g.series is whole.series[0] and g.value == "female")
    assert found[0].cost.mean == pytest.approx(plain.uar.mean - found[0].uar.mean)
    low, high = found[0].cost.ci95 or (0.0, 0.0)
    assert low < found[0].cost.mean < high
    assert effects.groups(whole, "language") == []  # all speak the same
    assert len([g for g in effects.groups(whole, "speaker") if g.series is whole.series[0]]) == 12
    worst = effects.worst(found, whole.series[1])
    assert worst is not None
    assert worst.value == "male"


def test_recall_is_over_all_recordings(whole: Benchmark) -> None:
    total = np.sum([np.sum(fold, axis=(0, 1)) for fold in whole.series[0].counts()], axis=0)
    assert effects.recall(whole.series[0]) == pytest.approx(np.diagonal(total) / total.sum(axis=1))


def test_a_benchmark_that_isnt_finished_shows_the_folds_that_all_seeds_have(tmp_path: Path) -> None:
    out = example_benchmark.write(tmp_path / "part", seeds=(0, 1), skill={"inf": 0.7, "utterance:8": 0.5})
    lines = (out / "results.jsonl").read_text().splitlines(keepends=True)
    (out / "results.jsonl").write_text("".join(lines[:-2]))  # of utterance:8 two folds are left
    plain, private = read(out).series
    assert (len(plain.folds), len(private.folds)) == (3, 2)
    [_, against, _] = effects.comparisons(read(out))
    both = np.mean([plain.counts(folds=private.folds)[i].sum(axis=1)[0].trace() for i in range(2)])
    assert both > 0
    assert against.difference.ci95 is not None


def test_the_words_say_what_the_figures_say(whole: Benchmark) -> None:
    results, comparisons = effects.results(whole), effects.comparisons(whole)
    words = " ".join(meaning(whole, results, comparisons, effects.groups(whole, "gender")))
    assert "Without privacy the federation reaches a UAR of 0.7" in words
    assert "With speaker, ε = 8: 0.2" in words
    assert words.count("That can't be told from guessing.") == 3  # utterance:1, speaker and site
    assert "genders" not in words  # another draw of speakers could turn it round


def paid(tmp_path: Path, lost: int) -> Benchmark:
    """Both genders have 10 of 12 right; the men have 8 with privacy, and the women ``lost`` less than before."""
    folder = example_benchmark.write(tmp_path, skill={"inf": 0.7, "utterance:8": 0.5}, strategies=("fedavg", "fedprox"))
    whole = read(folder)
    for row in whole.rows:
        women = 10 if row["unit"] is None else 10 - lost
        right = [women if int(who) % 2 else 10 if row["unit"] is None else 8 for who in row["details"]["speakers"]]
        row["details"]["by_speaker"] = [
            [[n if i == j else 12 - n if j == (i + 1) % 4 else 0 for j in range(4)] for i in range(4)] for n in right
        ]
    return whole


@pytest.mark.parametrize(("lost", "said"), [(5, True), (2, False)])
def test_who_pays_is_said_only_where_other_speakers_would_not_turn_it_round(
    tmp_path: Path, lost: int, said: bool
) -> None:
    whole = paid(tmp_path, lost)
    words = " ".join(meaning(whole, effects.results(whole), [], effects.groups(whole, "gender")))
    if not said:
        assert "genders" not in words
        return
    assert "The genders' costs differ most at utterance, ε = 8, fedavg: it costs female speakers 41.7 points" in words
    assert "and male speakers 16.7 points, 25.0 more (95 % interval 25.0 to 25.0, wider for the choice among" in words
    for strategy in ("fedavg", "fedprox"):
        assert f"Without privacy the federation ({strategy}) reaches a UAR of 0.833" in words


def test_what_the_shared_recipe_costs_is_claimed_only_where_the_intervals_lie_apart(tmp_path: Path) -> None:
    claimed = []
    for number, (uar, ci95) in enumerate([(0.95, [0.93, 0.97]), (0.75, [0.5, 0.97]), (0.95, None)]):
        reference = {"uar": uar, "ci95": ci95}
        own = read(example_benchmark.write(tmp_path / str(number), skill={"inf": 0.7}, reference=reference))
        claimed.append("what the conditions share costs too" in " ".join(meaning(own, effects.results(own), [], [])))
    assert claimed == [True, False, False]


def test_strangers_are_scored_by_what_was_heard_where_models_adapt_and_lines_tell_it(tmp_path: Path) -> None:
    skill = {"inf": 0.7, "site:8": 0.5}
    assert effects.heard(read(example_benchmark.write(tmp_path / "before", skill=skill))) == []
    found = effects.heard(read(example_benchmark.write(tmp_path / "now", skill=skill, adapts=True)))
    assert [(own.series.condition, own.pooled) for own in found] == [("inf", False), ("inf", True), ("site:8", False)]
    whole = effects.result(found[0].series)
    assert found[0].uar["8"] == found[0].uar["all"] == whole.uar
    assert found[1].uar["all"] == whole.pooled
    first = np.mean([metrics.uar(fold.sum(axis=1)) for fold in found[0].series.strangers("strangers", "0")])
    assert found[0].uar["0"].mean == pytest.approx(first)
    assert first < whole.uar.mean
    unknown = example_benchmark.adapting(dict(found[0].series.rows[0]))
    unknown["details"]["strangers"] |= {"2": None, "8": None}
    alone = Benchmark(path=tmp_path, about={}, rows=[unknown])
    assert list(effects.heard(alone)[0].uar) == ["0", "all"]


def test_the_summary_has_each_seeds_figure(whole: Benchmark) -> None:
    [plain, *_] = effects.summary(whole)
    assert plain["uar_by_seed"] == {str(seed): v for seed, v in effects.result(whole.series[0]).by_seed.items()}
    assert len(plain["uar_by_seed"]) == 2


def test_wall_time_leaves_the_pauses_between_sessions_out(tmp_path: Path) -> None:
    whole = read(example_benchmark.write(tmp_path / "wall", skill={"inf": 0.7}))
    assert effects.wall_seconds(whole) == 180.0


def test_tables_are_written_as_markdown_and_csv(whole: Benchmark) -> None:
    table = result_tables.frontier(whole, effects.results(whole))
    assert table.head[:3] == ["Condition", "UAR", "95 % interval"]
    assert "Seed 1" in table.head
    assert table.markdown().splitlines()[3] == "|---|---|---|---|---|---|---|---|---|---|"
    assert table.csv().splitlines()[1].startswith("no privacy,0.")
    assert len(table.csv().splitlines()) == 7


def test_the_sites_table_has_the_signal_over_the_noise(whole: Benchmark) -> None:
    row = next(row for row in result_tables.spent(whole).rows if row[0] == "utterance, ε = 8")
    # q n sqrt(T) / (sigma sqrt(d)) with q 0.25, n 240, T 200, sigma 3/8, d 1500
    assert float(row[-1]) == pytest.approx(0.25 * 240 * 200**0.5 / (0.375 * 1500**0.5), abs=0.01)
