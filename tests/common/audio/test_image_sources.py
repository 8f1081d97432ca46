"""Rooms by hand: the direct sound, the floor's echo, and the walls of a box."""

from __future__ import annotations

import math

import numpy as np
import pytest

from common.audio.image_sources import LONGEST, response, room_response

RATE = 34300  # a sample a centimetre


def test_the_first_reflection_of_a_floor_by_hand() -> None:
    """Two metres apart and 1.5 m above the floor: the echo's way is 2 · √(1 + 1.5²) = 3.6056 m."""
    size, source, microphone = (100.0, 100.0, 100.0), (49.0, 50.0, 1.5), (51.0, 50.0, 1.5)
    heard = response(size, source, microphone, 0.5, RATE, 0.1)
    assert len(heard) == 3430
    assert {int(place): float(heard[place]) for place in np.flatnonzero(heard)} == {
        0: 1.0,
        161: pytest.approx(0.5 * 2 / math.sqrt(13)),
    }


def test_the_echoes_of_a_small_box_by_hand() -> None:
    """In the middle of a cube of 2 m, a metre away along x: the first images by their walls."""
    heard = response((4.0, 4.0, 4.0), (1.5, 2.0, 2.0), (2.5, 2.0, 2.0), 0.8, RATE, 0.01)
    assert float(heard[300 - 0]) == pytest.approx(2 * 0.8 / 4)  # x walls: images at -1.5 and 6.5, each 4 m away
    assert float(heard[round(100 * (math.sqrt(17) - 1))]) == pytest.approx(4 * 0.8 / math.sqrt(17))  # y, z walls


def test_walls_that_give_nothing_back_leave_the_direct_sound() -> None:
    heard = response((4.0, 3.0, 2.5), (1.0, 1.0, 1.0), (2.0, 2.0, 1.5), 0.0, RATE, 0.05)
    assert np.flatnonzero(heard).tolist() == [0]


def test_a_room_is_its_set_s_and_fades() -> None:
    one, other, another = (room_response(number, which, 16000) for number, which in ((0, 0), (0, 1), (1, 0)))
    assert len(one) == round(LONGEST * 16000)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, another)
    assert np.array_equal(one, room_response.__wrapped__(0, 0, 16000))
    for heard in (one, other, another):
        assert np.sum(heard[:800] ** 2) > 10 * np.sum(heard[-800:] ** 2)
