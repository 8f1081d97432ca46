from __future__ import annotations

import math

import pytest

from common.config.settings import Config
from common.errors import UsageError
from simulations.sweep.trials.conditions import Condition, config_of, parse, read, shared

INF = Condition(unit=None, epsilon=math.inf)
EIGHT = Condition(unit="utterance", epsilon=8.0)
PERSON = Condition(unit="speaker", epsilon=8.0)
SITE = Condition(unit="site", epsilon=8.0)


def test_conditions_are_read_and_named() -> None:
    assert parse("inf,utterance:8,speaker:0.5") == [INF, EIGHT, Condition(unit="speaker", epsilon=0.5)]
    assert [condition.name for condition in parse("inf utterance:8,site:2.5")] == ["inf", "utterance:8", "site:2.5"]
    assert (INF.target, EIGHT.target) == (None, 8.0)


def test_a_condition_may_end_in_a_word_that_is_part_of_its_name() -> None:
    found = parse("inf,inf:encoder,utterance:8.0:encoder")
    assert [(own.unit, own.epsilon, own.encoded) for own in found] == [
        (None, math.inf, False),
        (None, math.inf, True),
        ("utterance", 8.0, True),
    ]
    assert [own.name for own in found] == ["inf", "inf:encoder", "utterance:8:encoder"]
    assert [read(own.name) for own in found] == found


def test_shared_noise_is_a_condition_with_as_many_steps_each_a_round_and_else_the_same_settings() -> None:
    site, together = parse("utterance:1,utterance:1:shared")
    assert (together.name, together.sharing, site.sharing) == ("utterance:1:shared", True, False)
    for given in ({}, {"federation.rounds": 3}):
        common = shared(given, [INF, site, together])
        own, other = config_of(site, given, common), config_of(together, given, common)
        assert (other.privacy.noise, other.federation.secure) == ("shared", True)
        assert other.federation.rounds == own.federation.rounds * 4  # twice over all units, at a rate of a half
        alike = {"privacy.noise": "site", "federation.secure": False, "federation.rounds": own.federation.rounds}
        assert other.with_values(alike) == own
    with pytest.raises(UsageError, match="there is no noise to share"):
        parse("inf:shared")
    alone = parse("site:8:shared")
    with pytest.raises(UsageError, match="--privacy-noise shared is for the units utterance and speaker"):
        config_of(alone[0], {}, shared({}, alone))


@pytest.mark.parametrize("text", ["inf:8", "inf:encoders", "site:8:", "utterance:8:ear", "inf:encoder:encoder"])
def test_an_unknown_or_repeated_word_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected nothing more, or one of encoder, shared, as in speaker:8:encoder"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["", "word:8", "utterance", "utterance:x", "utterance:0", "site:inf", "8", "site:encoder"]
)
def test_a_condition_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--conditions"):
        parse(text)


@pytest.mark.parametrize("text", ["utterance:8,utterance:8.0", "utterance:8.0000001,utterance:8"])
def test_a_condition_that_comes_twice_by_its_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names utterance:8 twice"):
        parse(text)


def test_all_share_what_the_strictest_may_have() -> None:
    configs = [config_of(c, {}, shared({}, [INF, SITE, PERSON, EIGHT])) for c in (INF, SITE, PERSON, EIGHT)]
    assert {config.data.normalise for config in configs} == {"utterance"}
    assert {config.data.validation for config in configs} == {"none"}
    assert {config.training.class_weights for config in configs} == {"none"}
    assert len({(config.model, config.augment, config.federation, config.features) for config in configs}) == 1


def test_the_strictest_is_the_smallest_unit_that_is_there() -> None:
    config = config_of(INF, {}, shared({}, [INF, PERSON, SITE]))
    assert (config.data.normalise, config.training.class_weights) == ("speaker", "none")
    config = config_of(INF, {}, shared({}, [INF, SITE]))
    assert (config.data.normalise, config.training.class_weights) == ("speaker", "own")


def test_each_unit_samples_and_clips_as_its_own_recipe_says() -> None:
    for conditions in ([EIGHT, PERSON, SITE], [PERSON, SITE]):
        common = shared({}, conditions)
        found = {c: config_of(c, {}, common).privacy for c in conditions}
        assert (found[PERSON].sample_rate, found[PERSON].max_grad_norm) == (1.0, 0.03)
        assert found[SITE].max_grad_norm == 1.0
    common = shared({}, [EIGHT, PERSON])
    assert config_of(EIGHT, {}, common).privacy.sample_rate == 0.5
    assert config_of(EIGHT, {}, common).privacy.max_grad_norm == 1.0
    given: dict[str, object] = {"privacy.max_grad_norm": 0.2}
    common = shared(given, [EIGHT, PERSON])
    assert {config_of(c, given, common).privacy.max_grad_norm for c in (EIGHT, PERSON)} == {0.2}


def test_a_batch_size_or_a_rate_of_the_users_holds_for_all() -> None:
    given: dict[str, object] = {"training.batch_size": 32}
    common = shared(given, [INF, EIGHT, PERSON])
    configs = [config_of(c, given, common) for c in (INF, EIGHT, PERSON)]
    assert {(c.training.batch_size, c.privacy.sample_rate) for c in configs} == {(32, 0.0)}
    given = {"privacy.sample_rate": 0.1}
    assert config_of(PERSON, given, shared(given, [PERSON])).privacy.sample_rate == 0.1


def test_without_noise_at_the_sites_the_ordinary_optimizer_trains_the_linear_model() -> None:
    given = {"data.normalise": "public", "data.public": "model"}
    common = shared(given, [INF, EIGHT, PERSON, SITE])
    ordinary = Config().training
    for condition in (INF, SITE):
        config = config_of(condition, given, common)
        assert (config.training.optimizer, config.training.learning_rate) == ("adamw", ordinary.learning_rate)
    for condition in (EIGHT, PERSON):
        config = config_of(condition, given, common)
        assert (config.training.optimizer, config.training.learning_rate) == ("sgd", 4.0)
        assert config.model.hidden == 0
    chosen = given | {"training.learning_rate": 0.5}
    assert config_of(INF, chosen, shared(chosen, [INF, EIGHT])).training.learning_rate == 0.5


def test_without_a_private_condition_nothing_is_imposed() -> None:
    assert config_of(INF, {}, shared({}, [INF])) == Config()


def test_epsilon_and_unit_reach_the_settings() -> None:
    config = config_of(PERSON, {}, shared({}, [INF, PERSON]))
    assert (config.privacy.unit, config.privacy.epsilon, config.privacy.on) == ("speaker", 8.0, True)
    assert not config_of(INF, {}, shared({}, [INF, PERSON])).privacy.on


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"privacy.epsilon": 8.0}, "for --conditions to say"),
        ({"data.normalise": "speaker"}, "would tell of other utterances"),
        ({"data.validation": "one"}, "sets no speaker aside"),
        ({"training.class_weights": True}, "--class-weights own"),
    ],
)
def test_what_the_strictest_may_not_have_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        shared(given, [INF, EIGHT])
