from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import FederationError
from common.secure.fixed_point import words_of
from common.secure.round_words import MOST_COUNT, MOST_MEAN, Beside, RoundLayout

LAYOUT = RoundLayout(entries=2, means=("loss", "b"), counts={"z": 1, "classes": 2})
UPDATE = np.array([1.0, -0.5])
TOLD = Beside(means={"b": 0.25, "loss": 2.0}, counts={"classes": [3, 4], "z": [5]})


def test_words_are_the_updates_then_means_then_counts_in_the_order_of_names() -> None:
    words = LAYOUT.words(UPDATE, TOLD, 1, 2)
    assert LAYOUT.size == len(words) == 7
    assert words[:2].tolist() == words_of(UPDATE, 1, 2).tolist()
    assert words[2:].tolist() == [2**29 // 2 // 64, 2**29 // 2 // 8, 3, 4, 5]
    update, beside = LAYOUT.read(words, 1, 2)
    assert update.tolist() == UPDATE.tolist()
    assert beside.means == TOLD.means
    assert {name: own.tolist() for name, own in beside.counts.items()} == TOLD.counts  # type: ignore[union-attr]


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 60), st.integers(0, MOST_COUNT)), min_size=1, max_size=50))
def test_means_are_weighted_and_counts_are_added(sites: list[tuple[int, float, int]]) -> None:
    layout, total = RoundLayout(entries=0, means=("loss",), counts={"n": 1}), sum(weight for weight, *_ in sites)
    words = np.zeros(2, np.uint32)
    for weight, loss, count in sites:
        words += layout.words(np.zeros(0), Beside(means={"loss": loss}, counts={"n": [count]}), weight, total)
    _, found = layout.read(words, total, total)
    assert found.means["loss"] == pytest.approx(
        np.average([s[1] for s in sites], weights=[s[0] for s in sites]), abs=1e-6
    )
    assert found.counts["n"][0] == sum(count for *_, count in sites)


def test_an_endless_loss_is_told_as_the_largest() -> None:
    layout = RoundLayout(entries=0, means=("loss",))
    words = layout.words(np.zeros(0), Beside(means={"loss": np.inf}), 1, 1)
    assert layout.read(words, 1, 1)[1].means["loss"] == pytest.approx(MOST_MEAN)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"means": {"loss": 1.0}}, "beside the update are classes, loss, z, expected b, classes, loss, z, each whole"),
        ({"counts": {"classes": [1], "z": [1]}}, "expected b, classes, loss, z, each whole"),
        ({"means": {"b": np.nan, "loss": 1.0}}, "b is nan, expected 0 or more; nothing is masked"),
        ({"means": {"b": -1.0, "loss": 1.0}}, "b is -1.0, expected 0 or more"),
        ({"counts": {"classes": [1, -1], "z": [1]}}, "classes has a count outside of 0 to 16777216"),
        ({"counts": {"classes": [1, 2**25], "z": [1]}}, "classes has a count outside of 0 to 16777216"),
    ],
)
def test_what_cannot_be_told_is_refused(change: dict[str, Any], why: str) -> None:
    with pytest.raises(FederationError, match=why):
        LAYOUT.words(UPDATE, Beside(**{"means": TOLD.means, "counts": TOLD.counts, **change}), 1, 2)


def test_a_length_that_is_another_is_refused() -> None:
    with pytest.raises(FederationError, match="the update has 3 entries, expected 2"):
        LAYOUT.words(np.zeros(3), TOLD, 1, 2)
    with pytest.raises(FederationError, match="a sum has 6 words, expected 7"):
        LAYOUT.read(np.zeros(6, np.uint32), 1, 2)
