from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from common.errors import UsageError
from common.learning.metrics import Floats
from simulations.audits.attacks.membership_inference import (
    Bools,
    by_speaker,
    confidences,
    likelihood_ratio,
    loss_threshold,
    roc,
)


def test_the_auc_counts_pairs_and_halves_ties() -> None:
    """Of the six pairs (3,2) (3,1) (2,1) are right, (2,2) is tied, (0,2) (0,1) are wrong."""
    told = roc([3, 2, 0], [2, 1])
    assert told.auc == pytest.approx(3.5 / 6)
    assert (told.members, told.non_members) == (3, 2)
    assert told.auc_ci95 is None  # two non-members say nothing
    assert told.tpr_at_1_percent is None
    assert told.tpr_at_01_percent_ci95 is None
    json.dumps(dataclasses.asdict(told), allow_nan=False)


def test_the_auc_is_scikit_learns() -> None:
    rng = np.random.default_rng(5)
    inside, outside = rng.integers(0, 20, 70), rng.integers(0, 15, 90)  # many ties
    truth = [1] * len(inside) + [0] * len(outside)
    assert roc(inside, outside).auc == pytest.approx(roc_auc_score(truth, [*inside, *outside]))


def test_the_interval_is_delongs() -> None:
    """The variance from the placements, computed pair by pair."""
    rng = np.random.default_rng(3)
    inside, outside = rng.normal(0.8, 1, 30), rng.normal(0, 1, 25)
    pairs = (inside[:, None] > outside) * 1.0
    variance = pairs.mean(1).var(ddof=1) / 30 + pairs.mean(0).var(ddof=1) / 25
    interval = roc(inside, outside).auc_ci95
    assert interval is not None
    assert (interval[1] - interval[0]) / 2 == pytest.approx(2.0049 * variance**0.5, rel=1e-4)  # t(54) is 2.0049
    assert sum(interval) / 2 == pytest.approx(pairs.mean())


def test_the_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    truth = 0.5 * (1 + math.erf(0.5))  # Φ(1/√2), the AUC of normals that lie 1 apart
    intervals = [roc(rng.normal(1, 1, 40), rng.normal(0, 1, 40)).auc_ci95 for _ in range(200)]
    covered = sum(i is not None and i[0] <= truth <= i[1] for i in intervals)
    assert 180 <= covered <= 200  # 190 expected


def test_a_speakers_recordings_count_as_one() -> None:
    """Twenty equal scores of each speaker are no more than one."""
    rng = np.random.default_rng(2)
    inside, outside = rng.normal(1, 1, 12), rng.normal(0, 1, 12)
    names = [f"speaker {i}" for i in range(24)]
    once = roc(inside, outside, names[:12], names[12:]).auc_ci95
    each = [[name for name in some for _ in range(20)] for some in (names[:12], names[12:])]
    many = roc(inside.repeat(20), outside.repeat(20), *each).auc_ci95
    careless = roc(inside.repeat(20), outside.repeat(20)).auc_ci95
    assert once is not None
    assert careless is not None
    assert many == pytest.approx(once)
    assert careless[1] - careless[0] < (once[1] - once[0]) / 3


def test_what_speakers_share_on_both_sides_cancels() -> None:
    rng = np.random.default_rng(4)
    shared, names = rng.normal(0, 3, 20), [f"{i}" for i in range(20)]
    inside, outside = shared + rng.normal(1, 0.1, 20), shared + rng.normal(0, 0.1, 20)
    paired, apart = roc(inside, outside, names, names).auc_ci95, roc(inside, outside).auc_ci95
    assert paired is not None
    assert apart is not None
    assert paired[1] - paired[0] < (apart[1] - apart[0]) / 3


def test_perfect_scores_still_have_an_interval() -> None:
    told = roc(np.arange(10) + 100.0, np.arange(20.0))
    assert told.auc == 1.0
    assert told.auc_ci95 == pytest.approx((0.025 ** (1 / 10), 1.0))


def test_tpr_at_low_rates() -> None:
    """Of 1000 non-members 0 … 999, one may be accused at 0.1 %, ten at 1 %."""
    told = roc([998.0, 998.5, 990.0, 989.5, 989.0], np.arange(1000.0))
    assert told.tpr_at_01_percent == pytest.approx(1 / 5)  # above 998: only 998.5
    assert told.tpr_at_1_percent == pytest.approx(4 / 5)  # above 989
    assert told.tpr_at_1_percent_ci95 == pytest.approx((0.2836, 0.9949), abs=1e-4)
    assert roc([1.0], np.zeros(999)).tpr_at_01_percent is None
    assert roc([0.0, 1.0], np.zeros(100)).tpr_at_1_percent == 0.5  # ties accuse nobody


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(UsageError, match="non_members has the shape"):
        roc([1.0], [])
    with pytest.raises(UsageError, match="a number"):
        roc([math.nan], [1.0])
    with pytest.raises(UsageError, match="group"):
        roc([1.0, 2.0], [1.0], ["a", "b"], [])


def test_confidences_are_log_odds_and_losses_are_log_probabilities() -> None:
    logits, labels = np.log([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]), [0, 2]
    assert confidences(logits, labels) == pytest.approx([math.log(0.7 / 0.3), 0.0])
    assert loss_threshold(logits, labels) == pytest.approx([math.log(0.7), math.log(0.5)])
    assert confidences([800.0, 0.0, 0.0], 0) == pytest.approx(800 - math.log(2))  # where p rounds to 1


def normal_density(value: float, mean: float, variance: float) -> float:
    return -0.5 * math.log(2 * math.pi * variance) - (value - mean) ** 2 / (2 * variance)


def test_the_ratio_by_hand() -> None:
    """One example in two models of four: in 3 and 5, out 0 and 1; pooled variances 2 and 0.5."""
    score = likelihood_ratio([3.0], [[3.0], [5.0], [0.0], [1.0]], [[True], [True], [False], [False]])
    assert score == pytest.approx([normal_density(3, 4, 2) - normal_density(3, 0.5, 0.5)])


def test_an_example_that_no_model_saw_takes_the_others_shift() -> None:
    member = np.array([[True, False], [True, False], [False, False], [False, False]])
    told = np.array([[3.0, 2.0], [5.0, 3.0], [0.0, 2.0], [1.0, 3.0]])  # the first shifts by 3.5, the second is at 2.5
    score = likelihood_ratio([3.0, 6.0], told, member)
    pooled_out = (0.25 * 2 + 0.25 * 4) / (1 + 3)
    assert score[1] == pytest.approx(normal_density(6, 6, 2) - normal_density(6, 2.5, pooled_out))
    flipped = likelihood_ratio([3.0, 6.0], told, member | np.array([False, True]))
    assert flipped[1] == pytest.approx(normal_density(6, 2.5, (2 + 1) / 4) - normal_density(6, -1, 0.5))


def test_offline_where_no_model_saw_any() -> None:
    score = likelihood_ratio([2.0, 0.0], [[0.0, 1.0], [2.0, 3.0]], np.zeros((2, 2), dtype=bool))
    assert score == pytest.approx([1 / math.sqrt(2), -2 / math.sqrt(2)])
    with pytest.raises(UsageError, match="every shadow model"):
        likelihood_ratio([2.0], [[0.0], [2.0]], np.ones((2, 1), dtype=bool))


def planted(shadows: int, seed: int) -> tuple[Floats, Floats, Bools]:
    """Examples as hard as they like, each a deviation more confident where it was trained on; row 0 is the target."""
    rng = np.random.default_rng(seed)
    member = rng.random((shadows + 1, 600)) < 0.5
    values = rng.normal(0, 3, 600) + member + rng.normal(0, 0.7, member.shape)
    return values[0], values, member


def test_the_ratio_finds_what_the_threshold_does_not() -> None:
    target, values, member = planted(16, seed=5)
    ratio = likelihood_ratio(target, values[1:], member[1:])
    offline = likelihood_ratio(target, values[1:] - member[1:], np.zeros_like(member[1:]))
    plain = roc(target[member[0]], target[~member[0]])
    ours = roc(ratio[member[0]], ratio[~member[0]])
    assert plain.auc < 0.65
    assert 0.78 < ours.auc < 0.88  # Φ(1 / (0.7 √2)) = 0.844 with exact means
    assert roc(offline[member[0]], offline[~member[0]]).auc > 0.75


def test_many_shadow_models_give_each_example_its_own_deviation() -> None:
    """The second example is five times as noisy, so the same distance says less of it."""
    rng = np.random.default_rng(6)
    member = np.arange(200)[:, None] % 2 == np.zeros((1, 2))
    told = member + rng.normal(0, 1, (200, 2)) * [0.2, 1.0]
    score = likelihood_ratio([1.0, 1.0], told, member)
    assert score[0] > 5 * score[1] > 0


def test_speakers_are_means_of_their_recordings() -> None:
    names, means = by_speaker([[1.0, 2.0, 6.0], [0.0, 4.0, 2.0]], ["b", "a", "b"])
    assert names == ["a", "b"]
    assert means.tolist() == [[2.0, 3.5], [4.0, 1.0]]


def test_shapes_and_diverged_models_are_refused() -> None:
    with pytest.raises(UsageError, match="don't match"):
        likelihood_ratio([1.0, 2.0], [[1.0]], [[True]])
    with pytest.raises(UsageError, match="not finite"):
        likelihood_ratio([math.inf], [[1.0], [2.0]], [[True], [False]])
