import numpy as np
import pytest

from recogniser.monitoring.proportions import Count, most_likely_change, wilson


def test_wilson_s_interval() -> None:
    # Newcombe (1998), Statistics in Medicine 17, Table I: 81/263, 15/148, 0/20, 1/29
    for hits, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert wilson(Count(hits=hits, of=of)) == pytest.approx((low, high), abs=5e-5)
    assert wilson(Count()) == (0, 1)
    assert wilson(Count(hits=5, of=10), 0.99)[0] < wilson(Count(hits=5, of=10))[0]


def test_a_change_is_found_where_it_is() -> None:
    days = [Count(hits=8, of=10)] * 6 + [Count()] + [Count(hits=2, of=10)] * 3
    found = most_likely_change(days)
    assert found is not None
    assert found.before == Count(hits=48, of=60)
    assert found.after == Count(hits=6, of=30)
    assert found.at in (6, 7)
    assert found.chance < 1e-5
    assert most_likely_change([Count(hits=1, of=2)]) is None
    assert most_likely_change([Count(), Count()]) is None
    level = most_likely_change([Count(hits=3, of=6)] * 4)
    assert level is not None
    assert level.chance == 1


def test_chance_is_no_smaller_than_it_says() -> None:
    generator = np.random.default_rng(0)
    low = 0
    for _ in range(400):
        hits = generator.binomial(20, 0.7, 14).tolist()
        found = most_likely_change([Count(hits=each, of=20) for each in hits])
        low += found is not None and found.chance < 0.05
    assert low <= 0.05 * 400 + 3 * np.sqrt(0.05 * 400)
