from __future__ import annotations

import logging

import numpy as np
import pytest

from server.screening import distance, fault, screened
from tests.server.replies import Arrays, failure, reply

LIKE: Arrays = {"w": np.zeros((2, 3), np.float32), "b": np.zeros(2, np.float32)}


def test_a_sound_update_passes() -> None:
    assert fault(reply(LIKE), LIKE) is None


@pytest.mark.parametrize(
    ("arrays", "examples", "reason"),
    [
        ({**LIKE, "b": np.array([0, np.nan], np.float32)}, 1, "b holds numbers that are not finite"),
        ({**LIKE, "b": np.array([0, np.inf], np.float32)}, 1, "b holds numbers that are not finite"),
        ({**LIKE, "w": np.zeros((3, 2), np.float32)}, 1, r"w is float32\[3, 2\], expected float32\[2, 3\]"),
        ({**LIKE, "w": np.zeros((2, 3), np.float64)}, 1, r"w is float64\[2, 3\], expected float32\[2, 3\]"),
        ({"w": LIKE["w"]}, 1, r"wrong keys \(b\)"),
        ({**LIKE, "x": LIKE["b"]}, 1, r"wrong keys \(x\)"),
        (LIKE, 0, "0 training recordings"),
        (LIKE, -3, "-3 training recordings"),
        (LIKE, float("nan"), "nan training recordings"),
        (LIKE, float("inf"), "inf training recordings"),
    ],
)
def test_a_bad_update_is_refused_with_a_reason(arrays: Arrays, examples: float, reason: str) -> None:
    import re

    found = fault(reply(arrays, examples), LIKE)
    assert found is not None
    assert re.fullmatch(reason, found)


def test_the_others_go_on_and_the_bad_are_named(caplog: pytest.LogCaptureFixture) -> None:
    names = {1: "charite", 2: "st-mary", 3: "lausanne"}
    refused: dict[str, str] = {}
    bad = {**LIKE, "b": np.full(2, np.nan, np.float32)}
    with caplog.at_level(logging.WARNING):
        passed = list(screened([reply(LIKE, node=1), reply(bad, node=2), failure(3)], LIKE, names, refused))
    assert [site for site, _ in passed] == ["charite"]
    assert refused == {"st-mary": "b holds numbers that are not finite", "lausanne": "the site failed"}
    assert [r.getMessage() for r in caplog.records] == [
        "st-mary: update refused: b holds numbers that are not finite",
        "lausanne: update refused: the site failed",
    ]


def test_an_update_is_as_long_as_its_difference_to_the_global_model() -> None:
    global_model: Arrays = {"w": np.ones((1, 2), np.float32), "b": np.ones(2, np.float32)}
    update: Arrays = {"w": np.full((1, 2), 3, np.float32), "b": np.full(2, -1, np.float32)}
    assert distance(reply(update), global_model) == pytest.approx(4.0)


def test_a_scaled_update_is_refused() -> None:
    scaled: Arrays = {"w": np.full((2, 3), 100, np.float32), "b": LIKE["b"]}
    assert fault(reply(scaled), LIKE, limit=300) is None
    assert fault(reply(scaled), LIKE, limit=200) == "its update has the norm 245, more than the limit 200"
