"""Where nobody speaks nothing is heard; where somebody does, it is counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recogniser.listening.exported_model import ExportedModel
from simulations.hearing import no_speech
from tests.recogniser.conftest import exported, model  # noqa: F401 - the fixtures
from tests.recogniser.speech import talk


def test_each_sound_is_as_loud_as_it_is_said_to_be_and_nothing_is_heard_in_it(exported: Path) -> None:  # noqa: F811
    said: list[str] = []
    told = no_speech.run(exported, 3.0, said.append)
    assert told["segments"] == 0
    assert {kind: list(own) for kind, own in told["by_kind"].items()} == {
        kind: ["-60"] if kind == "silence" else ["-60", "-40", "-20"] for kind in no_speech.KINDS
    }
    assert said == [f"{kind}: 0 segments" for kind in no_speech.KINDS]
    for kind in no_speech.KINDS[1:]:
        assert 20 * np.log10(no_speech.no_speech(kind, 3.0, -40).std()) == pytest.approx(-40, abs=0.01)


def test_speech_is_counted(model: ExportedModel) -> None:  # noqa: F811
    assert no_speech._segments(model, talk(0)) == 2
