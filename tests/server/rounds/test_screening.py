from __future__ import annotations

import io

import numpy as np
import pytest
from flwr.app import Array, Error, Message

from common.config.settings import TrainingConfig
from common.messages.scope import Scope, forms_of
from server.messages.rejections import refuse
from server.rounds.screening import Screening, distance, fault, step_ratio
from tests.server.replies import Arrays, asked, failure, reply

LIKE: Arrays = {"w": np.zeros((2, 3), np.float32), "b": np.zeros(2, np.float32)}
SCOPE = Scope(model=forms_of(LIKE))


def test_a_sound_update_passes() -> None:
    assert fault(reply(LIKE), SCOPE) is None


@pytest.mark.parametrize(
    ("arrays", "examples", "reason"),
    [
        ({**LIKE, "b": np.array([0, np.nan], np.float32)}, 1, "its arrays: b holds numbers that are not finite"),
        ({**LIKE, "b": np.array([0, np.inf], np.float32)}, 1, "its arrays: b holds numbers that are not finite"),
        ({**LIKE, "w": np.zeros((3, 2), np.float32)}, 1, r"its arrays: w is float32\[3, 2\], expected float32\[2, 3\]"),
        ({**LIKE, "w": np.zeros((2, 3), np.float64)}, 1, r"its arrays: w is float64\[2, 3\], expected float32\[2, 3\]"),
        ({"w": LIKE["w"]}, 1, "its arrays: b is missing"),
        ({**LIKE, "x": LIKE["b"]}, 1, "its arrays: 'x' is not expected"),
        (LIKE, 0, "its metrics: num-examples is 0, expected a whole number from 1 to 10000000"),
        (LIKE, -3, "its metrics: num-examples is -3, expected a whole number .*"),
        (LIKE, float("nan"), "its metrics: num-examples is nan, expected a whole number .*"),
        (LIKE, float("inf"), "its metrics: num-examples is inf, expected a whole number .*"),
    ],
)
def test_a_bad_update_is_refused_with_a_reason(arrays: Arrays, examples: float, reason: str) -> None:
    import re

    found = fault(reply(arrays, examples), SCOPE)
    assert found is not None
    assert re.fullmatch(reason, found)


def npz() -> bytes:
    """An archive of arrays, which NumPy's reader opens too."""
    buffer = io.BytesIO()
    np.savez(buffer, w=LIKE["w"])
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("stype", "data"), [("numpy.ndarray", b"garbage"), ("numpy.ndarray", b""), ("numpy.ndarray", npz()), ("x", b"1")]
)
def test_bytes_that_are_no_array_are_refused(stype: str, data: bytes) -> None:
    bad = reply(LIKE)
    bad.content.array_records["arrays"]["w"] = Array(dtype="float32", shape=(2, 3), stype=stype, data=data)
    assert str(fault(bad, SCOPE)).startswith("its arrays: w cannot be read: an array ")


def test_what_a_site_says_of_its_error_is_one_short_line() -> None:
    refused: dict[str, str] = {}
    wordy = Message(Error(2, "no\n2026-11-21 WARNING \x1b[2J" + "x" * 10_000), reply_to=asked(1))
    [verdict] = Screening(SCOPE, LIKE, 10, 0.0, {}).judge("a", wordy)
    refuse(verdict.site, "update", str(verdict.fault), refused)
    assert refused["a"].startswith(r"no 2026-11-21 WARNING \x1b[2Jxxx")
    assert len(refused["a"]) == 200


def test_the_others_are_taken_and_the_bad_are_not() -> None:
    bad = {**LIKE, "b": np.full(2, np.nan, np.float32)}
    screening = Screening(SCOPE, LIKE, 10, 0.0, {})
    came = {"charite": reply(LIKE), "st-mary": reply(bad), "lausanne": failure()}
    verdicts = [verdict for site, message in came.items() for verdict in screening.judge(site, message)]
    assert {verdict.site: verdict.fault for verdict in verdicts} == {
        "st-mary": "its arrays: b holds numbers that are not finite",
        "lausanne": "the site failed",
    }
    assert [(verdict.site, verdict.fault) for verdict in screening.rest()] == [("charite", None)]
    assert screening.rest() == []


def test_an_update_is_as_long_as_its_difference_to_the_global_model() -> None:
    global_model: Arrays = {"w": np.ones((1, 2), np.float32), "b": np.ones(2, np.float32)}
    update: Arrays = {"w": np.full((1, 2), 3, np.float32), "b": np.full(2, -1, np.float32)}
    assert distance(reply(update), global_model) == pytest.approx(4.0)


def screened(values: list[float], before: float = 0.0, factor: float = 10) -> tuple[list[str], dict[str, str], float]:
    """The sites whose update passes, where site i's has the norm ``values[i]``; those refused; the median norm."""
    screening = Screening(SCOPE, LIKE, factor, before, {})
    updates = [{"w": np.zeros((2, 3), np.float32), "b": np.array([v, 0], np.float32)} for v in values]
    verdicts = [verdict for i, update in enumerate(updates) for verdict in screening.judge(str(i), reply(update))]
    verdicts += screening.rest()
    assert [verdict.site for verdict in verdicts] == [str(i) for i in range(len(values))]
    refused = {verdict.site: verdict.fault for verdict in verdicts if verdict.fault is not None}
    return [verdict.site for verdict in verdicts if verdict.fault is None], refused, screening.norm


def test_a_scaled_update_is_refused_wherever_it_comes() -> None:
    for values in ([100.0, 1, 2, 1], [1.0, 100, 2, 1], [1.0, 2, 1, 100]):
        bad = str(values.index(100.0))
        sites, refused, _ = screened(values)
        assert sites == [str(i) for i in range(4) if str(i) != bad]
        assert "its update has the norm 100, more than 10 times the others' " in refused[bad]


def test_two_sites_are_compared_with_the_last_round() -> None:
    assert screened([1.0, 100.0])[0] == ["0", "1"]  # who of the two is wrong can't be told
    assert screened([1.0, 100.0], 1.2)[0] == ["0"]


def test_the_norms_of_those_that_passed_and_the_last_rounds_make_the_median() -> None:
    assert screened([1.0, 3.0, 999.0, 2.5], 2.0)[2] == 2.25  # of 1, 2, 2.5 and 3
    assert screened([])[2] == 0.0


def test_without_a_factor_or_without_any_change_nothing_is_refused() -> None:
    assert screened([1.0, 1.0, 1e9], factor=0)[1] == {}
    assert screened([0.0, 0.0, 1.0])[1] == {}


def test_three_updates_at_most_are_held() -> None:
    screening = Screening(SCOPE, LIKE, 10, 0.0, {})
    seen = [[verdict.site for verdict in screening.judge(str(i), reply(LIKE))] for i in range(6)]
    assert seen == [[], [], ["0", "1", "2"], ["3"], ["4"], ["5"]]


def test_a_site_goes_as_far_as_its_steps_take_it() -> None:
    eight = TrainingConfig(batch_size=8, least_steps=0)
    assert step_ratio({"big": 600, "a": 8, "b": 8, "c": 20}, eight) == {"big": 37.5, "a": 1.0, "b": 1.0, "c": 1.5}
    assert step_ratio({"small": 8, "a": 600, "b": 600}, eight) == {"small": 1.0, "a": 1.0, "b": 1.0}
    assert step_ratio({"a": 1}, eight) == {"a": 1.0}
    assert step_ratio({"big": 600, "a": 8, "b": 8}, TrainingConfig(batch_size=8, least_steps=50))["big"] == 3.0
