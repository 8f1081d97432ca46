"""Several made-up voices at once."""

from __future__ import annotations

import numpy as np

from common.voices.babble import SECONDS, babble, voice_track
from common.voices.tract import RATE


def test_a_seed_gives_one_babble_another_seed_or_set_another() -> None:
    one = babble(0, 1, 4000)
    assert one.shape == (4000,)
    assert np.array_equal(one, babble(0, 1, 4000))
    assert not np.array_equal(one, babble(0, 2, 4000))
    assert not np.array_equal(one, babble(1, 1, 4000))


def test_a_voice_goes_on_at_one_level_and_a_set_has_its_own() -> None:
    track = voice_track(0, 3)
    assert len(track) == round(SECONDS * RATE)
    assert abs(np.mean(track**2) - 1) < 1e-9
    assert np.array_equal(track, voice_track.__wrapped__(0, 3))
    assert not np.array_equal(track, voice_track(1, 3))
