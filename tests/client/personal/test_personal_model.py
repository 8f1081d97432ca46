from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from client.personal.class_prior import BIAS, log_prior, with_prior
from client.personal.comparison import Comparison
from client.personal.judges import bench_of
from client.personal.own_scores import compare
from client.personal.personal_model import FINE_TUNED, GLOBAL, NOBODY, PRIOR, arrays_of, make_personal
from tests.client.personal.skewed import config, holding, model, recordings, site

MIX = {"anger": 4, "neutral": 4, "sadness": 32}


def test_the_prior_is_the_sites_smoothed_shares_at_the_models_temperature() -> None:
    prior = log_prior(torch.tensor([0, 0, 0, 1]), 3)
    assert prior.tolist() == pytest.approx([math.log(4 / 7), math.log(2 / 7), math.log(1 / 7)])
    arrays = {BIAS: np.array([1.0, 0.0, -1.0], dtype=np.float32)}
    moved = with_prior(arrays, prior, 2.0)[BIAS]
    shown, own = (torch.softmax(torch.from_numpy(x) / 2.0, 0) for x in (arrays[BIAS], moved))
    bayes = shown * torch.tensor([4.0, 2.0, 1.0])
    assert own.tolist() == pytest.approx((bayes / bayes.sum()).tolist(), abs=1e-6)


def test_where_labels_are_skewed_the_prior_wins_and_its_arrays_have_it() -> None:
    own = config(data__validation="one", federation__refit=False)
    at, blind = site(own, recordings("p", MIX), recordings("q", MIX, seed=1)), model(own, slope=0.0)
    made = make_personal(at, blind, None, PRIOR)
    assert (made.chosen, made.epochs, made.seen) == (PRIOR, 0, False)
    assert made.judged is not None
    assert made.judged.figures()["global"]["wa"] == 0.1  # it takes all for the first class
    assert made.judged.figures()["personal"] == {"wa": 0.8, "uar": pytest.approx(1 / 3), "count": 40}
    assert (made.judged.won, made.judged.lost) == (32, 4)
    bias = np.log(np.array([5, 5, 33], dtype=np.float32) / 43)
    np.testing.assert_allclose(made.arrays[BIAS], bias, rtol=1e-5)
    held = compare(at, blind, made, recordings("r", {"anger": 2, "sadness": 8}, seed=2))
    assert held is not None
    assert [held.figures()[name]["wa"] for name in ("global", "personal")] == [0.2, 0.8]
    assert compare(at, blind, made, []) is None


def test_fine_tuning_teaches_a_model_that_knows_nothing_of_the_site() -> None:
    own = config(data__validation="one", federation__refit=False, training__learning_rate=0.5)
    at = site(own, recordings("p", MIX), recordings("q", {"anger": 9, "neutral": 9, "sadness": 9}, seed=1))
    made = make_personal(at, model(own, slope=0.0), None, FINE_TUNED)
    assert made.chosen == FINE_TUNED
    assert made.judged is not None
    assert made.judged.figures()["personal"]["uar"] > 0.9 > made.judged.figures()["global"]["uar"]


@pytest.mark.parametrize("how", ["prior", "both"])
def test_the_runs_model_is_kept_to_the_bit_where_nothing_is_gained(how: str) -> None:
    own = config(data__validation="one", federation__refit=False)
    perfect = model(own, slope=50.0, temperature=1.5)
    made = make_personal(site(own, recordings("p", MIX), recordings("q", MIX, seed=1)), perfect, None, how)
    assert (made.chosen, made.epochs, made.temperature) == (GLOBAL, 0, 1.5)
    assert all(np.array_equal(own, made.arrays[name]) for name, own in arrays_of(perfect).items())
    assert made.judged is not None
    assert (made.judged.won, made.judged.lost) == (0, 0)


def test_of_a_run_that_trained_with_its_validation_speakers_the_model_before_is_judged() -> None:
    """The last model knows the judges by heart, and would win; to the one before they are strangers."""
    own = config(data__validation="one")
    at = site(own, recordings("p", MIX), recordings("q", MIX, seed=1))
    learnt, before = model(own, slope=50.0), model(own, slope=0.0)
    kept, made = (make_personal(at, learnt, unseen, PRIOR) for unseen in (None, before))
    assert (kept.chosen, kept.seen) == (GLOBAL, True)
    assert (made.chosen, made.seen) == (PRIOR, False)
    bias = np.log(np.array([9, 9, 65], dtype=np.float32) / 83)  # of all recordings, the judges' too
    np.testing.assert_allclose(made.arrays[BIAS], bias, rtol=1e-5)
    assert made.arrays["classifier.weight"][0, 0] == 50.0


def test_who_judges() -> None:
    own = config(federation__refit=False)
    speakers = [recordings(name, {"anger": 5, "sadness": 5}) for name in "pqrst"]
    bench = bench_of(holding([own for each in speakers[:4] for own in each], speakers[4]), own, strangers=True)
    assert bench is not None
    assert (bench.seen, bench.rejoins, bench.told) == (False, False, "10 recordings of 1 speaker for validation")
    bench = bench_of(holding([own for each in speakers for own in each], []), own, strangers=True)
    assert bench is not None
    assert (bench.seen, bench.rejoins) == (True, True)
    parts = bench.holding.train, bench.holding.validation
    judges, rest = ({own.utterance.speaker for own in part} for part in reversed(parts))
    assert (len(judges), len(rest), judges & rest) == (1, 4, set())
    bench = bench_of(holding(speakers[0], []), own, strangers=True)
    assert bench is not None
    assert (len(bench.holding.validation), len(bench.holding.train), bench.seen) == (2, 8, True)
    assert bench_of(holding(speakers[0][:1], []), own, strangers=True) is None


def test_with_one_recording_nobody_judges_and_the_runs_model_is_kept() -> None:
    own = config(federation__refit=False)
    made = make_personal(site(own, recordings("p", {"anger": 1}), []), model(own, slope=0.0), None, "both")
    assert (made.chosen, made.judged, made.told) == (GLOBAL, None, NOBODY)


def test_a_gain_has_an_interval_of_its_own_recordings() -> None:
    labels = torch.arange(100) % 2
    before, after = torch.zeros(100, 2), torch.zeros(100, 2)
    before[:, 0] = 1.0  # right about the 50 of the first class
    after[torch.arange(100), labels] = 1.0
    after[:10, 0], after[:10, 1] = 0.0, 1.0  # wrong about five of them
    found = Comparison.of(before, after, labels)
    assert (found.won, found.lost, found.recordings) == (50, 5, 100)
    assert found.gain == 0.45
    low, high = found.interval() or (0.0, 0.0)
    assert low == pytest.approx(0.45 - 1.96 * 0.059, abs=0.02)  # sqrt((0.55 - 0.45²) / 100) = 0.059
    assert high == pytest.approx(0.45 + 1.96 * 0.059, abs=0.02)
    assert Comparison.of(before[:4], after[:4], labels[:4]).interval() is None
