from __future__ import annotations

import itertools

import numpy as np
import pytest

from common.learning.metrics import Confusion, summarise
from simulations.sweep.statistics.paired import change, contrast, difference, estimate, holm, point


def counts(rights: list[list[int]], each: int = 4) -> list[Confusion]:
    """Two classes of ``each`` recordings a speaker; for each fold and speaker, how many of each class are right."""
    folds = []
    for fold in rights:
        matrices = [[[right, each - right], [each - right, right]] for right in fold]
        folds.append(np.array([matrices], dtype=np.int64))
    return folds


def test_the_mean_and_the_interval_are_those_of_the_main_job() -> None:
    folds = counts([[4, 3, 2], [1, 2, 3]])
    ours, theirs = estimate(folds), summarise(folds, "uar")
    assert ours.mean == theirs["mean"] == pytest.approx((0.75 + 0.5) / 2)
    assert ours.ci95 == pytest.approx(tuple(theirs["ci95"]))
    assert estimate(folds, "wa").mean == summarise(folds, "wa")["mean"]


def test_seeds_are_averaged_and_too_few_speakers_have_no_interval() -> None:
    one, other = counts([[4, 4]]), counts([[2, 2]])
    both = [np.concatenate(pair) for pair in zip(one, other, strict=True)]
    found = estimate(both)
    assert found.mean == pytest.approx(0.75)
    assert found.ci95 is None


def test_a_paired_interval_is_narrower_than_the_speakers_differ() -> None:
    """Speakers differ by 0.75, conditions by 0.25 for each of them: the difference is certain."""
    better, worse = counts([[4, 3, 2, 4, 3, 2]]), counts([[3, 2, 1, 3, 2, 1]])
    found = difference(better, worse)
    assert found.mean == pytest.approx(0.25)
    assert found.ci95 == pytest.approx((0.25, 0.25))
    interval = estimate(better).ci95
    assert interval is not None
    assert interval[1] - interval[0] > 0.2


def test_two_groups_costs_are_told_apart_by_their_speakers_and_wider_after_a_choice() -> None:
    [before] = counts([[4, 4, 3, 4]])
    [after], [same] = counts([[2, 1, 2, 2]]), counts([[4, 4, 3, 4]])
    assert change(before, after).mean == pytest.approx(0.5)
    found, wider = contrast((before, after), (before, same)), contrast((before, after), (before, same), 20)
    assert found.mean == wider.mean == pytest.approx(0.5)
    assert found.ci95 is not None
    assert wider.ci95 is not None
    assert wider.ci95[0] <= found.ci95[0] < 0.5 < found.ci95[1] <= wider.ci95[1]
    assert wider.ci95 != found.ci95
    few = before[:, :1]
    assert contrast((few, few), (before, same)).ci95 is None  # one speaker tells nothing of a group


def test_the_p_value_is_the_share_of_all_tosses() -> None:
    better, worse = counts([[4, 3, 2]]), counts([[3, 2, 1]])
    assert difference(better, worse).p == 2 / 8  # none exchanged, or all
    mixed = counts([[3, 3, 2]])
    wanted = point(better) - point(mixed)
    reached = 0
    for toss in itertools.product((0, 1), repeat=3):
        pairs = [(b, a) if t else (a, b) for a, b, t in zip((4, 3, 2), (3, 3, 2), toss, strict=True)]
        swapped = point(counts([[a for a, _ in pairs]])) - point(counts([[b for _, b in pairs]]))
        reached += abs(swapped) >= abs(wanted) - 1e-12
    assert difference(better, mixed).p == reached / 8


def test_the_same_counts_do_not_differ_and_many_speakers_can_tell() -> None:
    same = counts([[4, 3, 2, 1] * 5])
    found = difference(same, same)
    assert (found.mean, found.ci95, found.p) == (0.0, (0.0, 0.0), 1.0)
    other = counts([[3, 2, 1, 0] * 5])
    assert difference(same, other).p == pytest.approx(1 / 10000)
    assert difference(other, same).mean == pytest.approx(-0.25)


def test_a_coin_is_found_different_in_one_of_twenty_at_most() -> None:
    rng = np.random.default_rng(0)
    tests = [difference(counts([list(a)]), counts([list(b)])).p for a, b in rng.integers(0, 5, size=(200, 2, 8))]
    assert np.mean(np.array(tests) <= 0.05) <= 0.08


def test_holm_corrects_each_for_those_that_are_left() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
