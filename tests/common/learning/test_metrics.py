import json
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, recall_score

from common.learning.metrics import MIN_SPEAKERS, RESAMPLES, Confusion, macro_f1, recalls, scores, summarise, uar, wa
from common.seeds import numpy_generator

# Two of four, six of six, one of two.
COUNTS = np.array([[2, 1, 1], [0, 6, 0], [1, 0, 1]])


def test_hand_computed() -> None:
    assert recalls(COUNTS).tolist() == [0.5, 1.0, 0.5]
    assert float(uar(COUNTS)) == pytest.approx(2 / 3)
    assert float(wa(COUNTS)) == pytest.approx(9 / 12)
    # F1 is 2 hits / (true + taken): 2*2/(4+3), 2*6/(6+7), 2*1/(2+2).
    assert float(macro_f1(COUNTS)) == pytest.approx((4 / 7 + 12 / 13 + 1 / 2) / 3)


def test_they_are_scikit_learns() -> None:
    rng = np.random.default_rng(4)
    truth, taken = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    counts = confusion_matrix(truth, taken)
    assert recalls(counts).tolist() == pytest.approx(recall_score(truth, taken, average=None))
    assert float(uar(counts)) == pytest.approx(balanced_accuracy_score(truth, taken))
    assert float(wa(counts)) == pytest.approx(accuracy_score(truth, taken))
    assert float(macro_f1(counts)) == pytest.approx(f1_score(truth, taken, average="macro"))


def test_a_class_without_utterances_is_left_out() -> None:
    counts = np.array([[3, 0, 1], [0, 0, 0], [1, 1, 2]])
    told = scores(counts, ("anger", "fear", "sadness"), 0.7)
    assert told["recall"] == {"anger": 0.75, "fear": None, "sadness": 0.5}
    assert told["uar"] == pytest.approx(0.625)
    assert told["wa"] == pytest.approx(5 / 8)
    assert told["macro_f1"] == pytest.approx((6 / 8 + 4 / 7) / 2)  # what was taken for fear costs sadness its recall
    assert told["confusion"] == counts.tolist()
    assert told["loss"] == 0.7
    json.dumps(told, allow_nan=False)


def test_nothing_recognised_is_zero_and_nothing_there_is_not_a_number() -> None:
    wrong = np.array([[0, 2], [3, 0]])
    assert [float(figure(wrong)) for figure in (uar, wa, macro_f1)] == [0.0, 0.0, 0.0]
    nothing = np.zeros((2, 2), dtype=np.int64)
    assert all(math.isnan(figure(nothing)) for figure in (uar, wa, macro_f1))


def test_many_matrices_at_once() -> None:
    both = np.stack([COUNTS, COUNTS.T])
    for figure in (uar, wa, macro_f1):
        assert figure(both).tolist() == [float(figure(COUNTS)), float(figure(COUNTS.T))]


def random_folds(models: int, sizes: list[int], seed: int) -> list[Confusion]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 6, (models, size, 3, 3)) + np.eye(3, dtype=np.int64) for size in sizes]


def test_mean_and_deviation_of_the_folds_figures() -> None:
    folds = random_folds(1, [2, 3, 4], seed=1)
    values = [float(uar(fold[0].sum(axis=0))) for fold in folds]
    told = summarise(folds, "uar")
    assert told["mean"] == pytest.approx(sum(values) / 3)
    mean = sum(values) / 3
    assert told["sd"] == pytest.approx(math.sqrt(sum((value - mean) ** 2 for value in values) / 2))


def test_one_fold_has_no_deviation() -> None:
    told = summarise(random_folds(1, [6], seed=2), "wa")
    assert told["sd"] is None
    assert told["ci95"] is not None


@pytest.mark.parametrize("sizes", [[4], [2, 2], [1, 1, 1, 1]])
def test_below_five_speakers_there_is_no_interval(sizes: list[int]) -> None:
    assert summarise(random_folds(1, sizes, seed=3), "uar")["ci95"] is None
    assert summarise(random_folds(1, [*sizes, 1], seed=3), "uar")["ci95"] is not None
    assert MIN_SPEAKERS == 5


def test_the_figures_of_local_models_are_averaged() -> None:
    [fold] = random_folds(3, [5], seed=4)
    figures = [float(macro_f1(fold[model].sum(axis=0))) for model in range(3)]
    assert summarise([fold], "macro_f1")["mean"] == pytest.approx(sum(figures) / 3)


def plain_uar(counts: npt.NDArray[np.int64]) -> float:
    known = [counts[i, i] / counts[i].sum() for i in range(len(counts)) if counts[i].sum()]
    return float(sum(known) / len(known))


def resampled(folds: list[Confusion], times: npt.NDArray[np.int64]) -> float:
    """The mean of the folds' figures, speaker ``i`` of all folds together taken ``times[i]`` times."""
    figures, first = [], 0
    for fold in folds:
        own = times[first : first + fold.shape[1]]
        first += fold.shape[1]
        if own.sum() == 0:
            continue
        by_model = []
        for model in fold:
            total = np.zeros(model.shape[1:], dtype=np.int64)
            for speaker, often in zip(model, own, strict=True):
                total += often * speaker
            by_model.append(plain_uar(total))
        figures.append(sum(by_model) / len(by_model))
    return sum(figures) / len(figures)


@pytest.mark.parametrize("models", [1, 3])
def test_the_interval_against_a_plain_bootstrap(models: int) -> None:
    folds = random_folds(models, [1, 2, 4], seed=5)
    folds[1][:, :, 2] = 0  # a fold that lacks a class
    draws = numpy_generator("bootstrap").multinomial(7, [1 / 7] * 7, size=RESAMPLES)
    assert (draws[:, 0] == 0).any()  # a resample that leaves a fold out
    means = [resampled(folds, times) for times in draws]
    assert summarise(folds, "uar")["ci95"] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist(), abs=1e-12)


def test_the_interval_does_not_hang_on_its_own_draws() -> None:
    folds = random_folds(1, [4, 4, 4], seed=6)
    rng = np.random.default_rng(7)
    means = [resampled(folds, np.bincount(rng.integers(0, 12, 12), minlength=12)) for _ in range(2000)]
    told = summarise(folds, "uar")
    assert told["ci95"] == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist(), abs=0.02)
    assert told["ci95"][0] < told["mean"] < told["ci95"][1]


def test_a_speakers_utterances_are_resampled_together() -> None:
    # Ten speakers, five always right and five always wrong: far wider than with 200 independent utterances.
    right, wrong = np.diag([10, 10]), np.array([[0, 10], [10, 0]])
    low, high = summarise([np.stack([right] * 5 + [wrong] * 5)[None]], "uar")["ci95"]
    assert (low, high) == (pytest.approx(0.2), pytest.approx(0.8))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(1, 3), st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_figures_lie_between_0_and_1_and_repeat(seed: int, models: int, sizes: list[int]) -> None:
    folds = random_folds(models, sizes, seed)
    for figure in ("uar", "wa", "macro_f1"):
        told = summarise(folds, figure)
        assert told == summarise(folds, figure)
        assert 0 <= told["mean"] <= 1
        if told["ci95"]:
            assert 0 <= told["ci95"][0] <= told["ci95"][1] <= 1
        json.dumps(told, allow_nan=False)
