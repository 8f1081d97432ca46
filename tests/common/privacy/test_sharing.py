"""A run whose sites share their noise: its recipe, and what is refused of it."""

from __future__ import annotations

from typing import Any

import pytest

from common.config.settings import Config
from common.errors import UsageError
from common.privacy.recipe import private_settings, refuse_leaks
from common.privacy.sharing import shared_among, steps_per_round
from common.privacy.terms import Terms

SHARED = {"privacy.epsilon": 8.0, "privacy.noise": "shared", "federation.secure": True}


def config(**given: Any) -> Config:
    return Config().with_values(private_settings({**SHARED, **given}))


@pytest.mark.parametrize(
    ("given", "rounds"),
    [
        ({}, 200),
        ({"privacy.unit": "speaker"}, 100),
        ({"privacy.sample_rate": 0.25}, 400),
        ({"model.hidden": 8}, 240),
        ({"federation.rounds": 7}, 7),
    ],
)
def test_each_round_is_one_step_and_there_are_as_many_steps_as_with_noise_at_the_sites(
    given: dict[str, Any], rounds: int
) -> None:
    own = config(**given)
    assert own.federation.rounds == rounds
    assert steps_per_round(own, own.privacy.sample_rate) == 1
    if "federation.rounds" not in given:
        at_sites = Config().with_values(private_settings({"privacy.epsilon": 8.0, **given}))
        steps = steps_per_round(at_sites, at_sites.privacy.sample_rate)
        assert at_sites.federation.rounds * steps == rounds
        assert at_sites.privacy.average == own.privacy.average  # of the steps, as of the rounds


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({"privacy.epsilon": 0.5}, 1.0),
        ({"privacy.epsilon": 2.0}, 2.0),
        ({"privacy.epsilon": 8.0}, 4.0),
        ({"privacy.epsilon": "inf", "privacy.noise_multiplier": 2.0}, 4.0),
        ({"privacy.epsilon": 1.0, "privacy.unit": "speaker"}, 4.0),
        ({"privacy.epsilon": 1.0, "training.learning_rate": 3.0}, 3.0),
        ({"privacy.epsilon": 1.0, "privacy.noise": "site", "federation.secure": False}, 4.0),
    ],
)
def test_for_recordings_steps_are_smaller_in_more_noise(given: dict[str, Any], rate: float) -> None:
    assert config(**given).training.learning_rate == rate


def test_all_sites_have_one_rate_and_one_noise_however_many_units_they_have() -> None:
    own = config(**{"privacy.honest": 3, "privacy.epsilon": "inf", "privacy.noise_multiplier": 2.0})
    terms = [Terms.of(own, units, []) for units in (60, 300, 1000)]
    assert {(t.sample_rate, t.noise_multiplier, t.steps_per_round, t.rounds, t.honest) for t in terms} == {
        (0.5, 2.0, 1, 200, 3)
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"privacy.epsilon": "inf"}, "--privacy-noise shared needs a private run"),
        ({"privacy.noise": "site", "privacy.honest": 3}, "--honest 3 is of shared noise"),
        ({"federation.secure": False}, "--privacy-noise shared needs --secure"),
        ({"federation.strategy": "fedadam"}, "--strategy fedadam takes models"),
        ({"federation.fraction": 0.5}, "--fraction: with --privacy-noise shared all sites"),
        ({"training.batch_size": 8}, "give privacy.sample_rate"),
        ({"privacy.honest": 1}, "--honest 1 shares nothing"),
        ({"privacy.unit": "site"}, "--privacy-noise shared is for the units utterance and speaker"),
        ({"privacy.noise": "nobody"}, "privacy.noise"),
    ],
)
def test_what_cannot_share_noise_is_refused_in_one_line(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        private_settings({**SHARED, **given})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("sites", "honest", "told"),
    [
        (2, 0, "among 2 sites: expected at least 3"),
        (1, 0, "among 1 sites: expected at least 3"),
        (4, 4, "--honest 4 of 4 sites: expected 2 to 3"),
        (4, 9, "--honest 9 of 4 sites: expected 2 to 3"),
    ],
)
def test_too_few_sites_are_refused(sites: int, honest: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        shared_among(config(**{"privacy.honest": honest}), sites)


def test_all_sites_but_one_are_taken_for_honest_where_nothing_is_said() -> None:
    assert shared_among(config(), 4).privacy.honest == 3
    assert shared_among(config(**{"privacy.honest": 2}), 4).privacy.honest == 2
    assert shared_among(Config(), 1) == Config()


def test_a_round_waits_for_as_many_sites_as_its_sum_must_have() -> None:
    assert shared_among(config(), 5).federation.min_sites == 5
    assert shared_among(config(**{"privacy.honest": 2}), 5).federation.min_sites == 3
    assert shared_among(config(**{"privacy.honest": 2, "federation.min_sites": 4}), 5).federation.min_sites == 4


def test_nothing_is_begun_before_it_is_known_how_many_are_honest() -> None:
    own = config(**{"privacy.epsilon": "inf", "privacy.noise_multiplier": 2.0})
    refuse_leaks(own)
    with pytest.raises(UsageError, match=r"privacy\.honest is 0, expected 2 or more"):
        Terms.of(own, 60, [])
