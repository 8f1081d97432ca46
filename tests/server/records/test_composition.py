"""What several models tell together: by hand where all take part in each step, and by its figures where not."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.privacy.accounting.accountants import Spend, epsilon_prv
from common.privacy.accounting.calibration import calibrate
from server.records.composition import NoisyModel, compose, spends_of
from server.records.fold_record import AllModels, PrivacyAccount
from tests.server.example_result import SPENT, privacy

DELTA = 1e-5
PEOPLE = ("a", "b", "c", "d")


def spend(noise: float, steps: int = 1, rate: float = 1.0) -> Spend:
    return Spend(unit="utterance", sample_rate=rate, noise_multiplier=noise, steps=steps)


def model(members: Sequence[str], own: Spend | None, site: str = "site-0") -> NoisyModel:
    return NoisyModel(members={site: members}, spends={site: own})


@pytest.mark.parametrize("models", [1, 2, 5, 12])
def test_models_of_whole_steps_tell_as_much_as_so_many_times_the_steps(models: int) -> None:
    """k models of T Gaussian steps are one of k T, which is one step with √(k T) times less noise (Balle and Wang)."""
    together = compose([model("a", spend(10.0, 25))] * models, DELTA)
    assert together.epsilon == pytest.approx(epsilon_prv([spend(10.0 / math.sqrt(25 * models))], DELTA), rel=1e-12)
    assert together.models == models


def test_four_folds_of_the_recipe_at_eight_tell_nineteen_and_with_baselines_forty() -> None:
    """50 rounds of two epochs of half a sample each: 200 steps a model, the noise that ε = 8 takes."""
    one = spend(calibrate(8.0, DELTA, 0.5, 200), 200, 0.5)
    folds = [model(tuple(set(PEOPLE) - {out}), one) for out in PEOPLE] + [model(PEOPLE, one)]
    assert compose(folds[:1], DELTA).epsilon == pytest.approx(7.99, abs=0.01)
    four, twelve = compose(folds, DELTA), compose(folds * 3, DELTA)
    assert four.epsilon == pytest.approx(18.88, abs=0.01)
    assert twelve.epsilon == pytest.approx(39.8, abs=0.05)
    assert (four.models, twelve.models) == (4, 12)


def test_a_person_goes_through_the_steps_of_the_site_that_held_them() -> None:
    """``a`` is at the site with less noise once, ``b`` twice, ``c`` never."""
    weak, strong = spend(1.0), spend(4.0)
    first = NoisyModel(members={"x": "ab", "y": "c"}, spends={"x": weak, "y": strong})
    second = NoisyModel(members={"x": "b", "y": "ac"}, spends={"x": weak, "y": strong})
    together = compose([first, second], DELTA)
    assert together.epsilon == pytest.approx(epsilon_prv([spend(math.sqrt(1 / 2))], DELTA), rel=1e-12)
    assert together.models == 2


def test_nobody_is_in_two_models_that_share_nobody() -> None:
    assert compose([model("a", spend(1.0)), model("b", spend(2.0))], DELTA).models == 1


kinds = st.builds(spend, st.sampled_from([2.0, 3.0, 8.0]), st.integers(1, 30))
runs = st.lists(st.tuples(st.sets(st.sampled_from(PEOPLE), min_size=1), kinds), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(runs)
def test_all_models_tell_no_less_than_any_of_them_and_one_more_never_less(drawn: list[tuple[set[str], Spend]]) -> None:
    models = [model(sorted(members), own) for members, own in drawn]
    before = 0.0
    for count in range(1, len(models) + 1):
        together = compose(models[:count], DELTA)
        assert together.epsilon is not None
        assert together.epsilon >= before
        assert together.epsilon >= max(epsilon_prv([own], DELTA) for _, own in drawn[:count])
        quick = compose(models[:count], DELTA, quick=True).epsilon
        assert quick is not None
        assert together.epsilon <= quick
        assert 1 <= together.models <= count
        before = together.epsilon
    assert compose(models[:1], DELTA).epsilon == epsilon_prv([drawn[0][1]], DELTA)


def test_steps_that_a_site_keeps_to_itself_leave_no_figure() -> None:
    models = [model("ab", spend(1.0)), model("a", None)]
    assert compose(models, DELTA) == AllModels(epsilon=None, delta=DELTA, models=2)


def test_an_account_tells_the_steps_that_were_spent_and_of_none_where_there_were_none() -> None:
    stopped = SPENT | {"steps": 0, "noise_multiplier": None}
    silent = SPENT | dict.fromkeys(("steps", "noise_multiplier", "sample_rate", "epsilon"))
    account = PrivacyAccount.from_json(privacy(sites={"a": SPENT, "b": stopped, "c": silent}))
    assert spends_of(account) == {"a": spend(1.25, 240, 0.25), "c": None}


def test_without_any_step_nothing_is_told() -> None:
    assert compose([], DELTA) == AllModels(epsilon=0.0, delta=DELTA, models=0)
