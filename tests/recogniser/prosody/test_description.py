from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from recogniser.prosody import description
from recogniser.prosody.description import NOTE, describe
from recogniser.prosody.level_and_pitch import LevelAndPitch
from tests.recogniser.prosody.spoken import COLUMNS, Spoken, Stretch, heard, say

GAPS = [0.4, 1.2, 0.6, 0.3, 1.5, 0.5, 0.8, 0.4]


@cache
def told(seed: int, gender: str) -> tuple[Spoken, LevelAndPitch, dict[str, Any]]:
    spoken = say(seed, GAPS, gender)
    kept = heard(spoken.signal)
    whole = Stretch(spoken.parts[0][0] - 0.1, spoken.parts[-1][1] + 0.1)
    return spoken, kept, describe({None: kept}, [whole])


@pytest.mark.parametrize(("seed", "gender"), [(0, "female"), (1, "male"), (2, "female")])
def test_numbers_of_made_up_speech_are_those_that_it_was_made_with(seed: int, gender: str) -> None:
    spoken, _, found = told(seed, gender)
    measures = found["recording"]
    seconds = spoken.parts[-1][1] - spoken.parts[0][0]
    assert measures["speech_rate"] == pytest.approx(len(spoken.nuclei) / seconds, rel=0.2)
    articulation = len(spoken.nuclei) / (seconds - sum(spoken.pauses))
    assert measures["articulation_rate"] == pytest.approx(articulation, rel=0.2)
    assert measures["pauses"]["count"] == pytest.approx(len(spoken.pauses), abs=1)
    assert measures["pauses"]["median"] == pytest.approx(np.median(spoken.pauses), abs=0.05)
    assert measures["pauses"]["over_1_s"] == sum(pause > 1 for pause in spoken.pauses)
    assert measures["pauses"]["share"] == pytest.approx(sum(spoken.pauses) / seconds, abs=0.03)
    semitones = 12 * np.log2(spoken.f0)
    assert 12 * np.log2(measures["f0"]["median"]) == pytest.approx(np.median(semitones), abs=0.5)
    low, high = np.percentile(semitones, [5, 95])
    assert measures["f0"]["range"] == pytest.approx(high - low, abs=1)
    assert 0.4 < measures["voiced"] < 1
    assert 0 <= measures["articulation_rate_variation"] < 0.3
    assert 5 < measures["level_range"] < 40


def test_fast_and_slow_speech_are_told_apart() -> None:
    true, found = [], []
    for seed, tempo in enumerate(np.geomspace(0.6, 1.4, 7)):
        spoken = say(seed, [0.5], ("female", "male")[seed % 2], tempo)
        start, end = spoken.parts[0][0], spoken.parts[-1][1]
        true.append(len(spoken.nuclei) / (end - start - sum(spoken.pauses)))
        measures = describe({None: heard(spoken.signal)}, [Stretch(start - 0.1, end + 0.1)])["recording"]
        found.append(measures["articulation_rate"])
    assert np.corrcoef(true, found)[0, 1] > 0.9
    assert np.mean(np.abs(np.array(found) / true - 1)) < 0.15


def test_minutes_and_speakers_add_up_to_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken, kept, found = told(0, "female")
    monkeypatch.setattr(description, "MINUTE", 10.0)
    minutes = describe({None: kept}, [Stretch(0, 60)])["minutes"]
    assert [minute["start"] for minute in minutes] == [0, *(minute["end"] for minute in minutes[:-1])]
    assert minutes[-1]["end"] == pytest.approx(len(spoken.signal) / 16000, abs=0.02)
    assert len(minutes) > 1
    assert sum(minute["syllables"] for minute in minutes) == found["recording"]["syllables"]
    assert sum(minute["pauses"]["count"] for minute in minutes) == found["recording"]["pauses"]["count"]
    (_, end), (start, _) = max(pairwise(spoken.parts), key=lambda pair: pair[1][0] - pair[0][1])
    parts = [Stretch(0, end + 0.1, speaker="Ann"), Stretch(start - 0.1, 60, speaker="Ben")]
    two = describe({None: kept}, parts)
    assert [each["speaker"] for each in two["speakers"]] == ["Ann", "Ben"]
    assert sum(each["syllables"] for each in two["speakers"]) == two["recording"]["syllables"]
    assert sum(each["pauses"]["count"] for each in two["speakers"]) == two["recording"]["pauses"]["count"]
    # What lies between the two is nobody's pause.
    assert two["recording"]["pauses"]["count"] == found["recording"]["pauses"]["count"] - 1


def test_channels_are_told_apart_and_together() -> None:
    (one, left, _), (two, right, _) = told(0, "female"), told(1, "male")
    stretches = [Stretch(0, 40, channel, None) for channel in (0, 1)]
    found = describe({0: left, 1: right}, stretches)
    assert [(each["channel"], each["speaker"]) for each in found["speakers"]] == [(0, None), (1, None)]
    assert found["speakers"][0]["f0"]["median"] > 1.3 * found["speakers"][1]["f0"]["median"]
    assert found["recording"]["syllables"] == sum(each["syllables"] for each in found["speakers"])
    assert found["recording"]["syllables"] == pytest.approx(len(one.nuclei) + len(two.nuclei), rel=0.2)


def test_where_nothing_is_voiced_there_is_no_number() -> None:
    noise = LevelAndPitch(COLUMNS, 0.01)
    frames = np.zeros((300, len(COLUMNS)), np.float32)
    frames[:, COLUMNS.index("energy@25")] = -30.0
    noise.add(frames)
    for stretches in ([], [Stretch(0.5, 2.5)]):
        found = describe({None: noise}, stretches)
        nothing = ("syllables", "speech_rate", "articulation_rate", "speech_rate_variation", "f0")
        assert {found["recording"][name] for name in nothing} == {None}
        assert found["minutes"][0]["f0"] is None
        assert found["note"] == NOTE == "descriptive, no diagnosis"
        json.dumps(found, allow_nan=False)
    assert describe({None: noise}, [])["recording"]["pauses"] is None
    assert found["recording"]["pauses"]["count"] == 0
    assert found["recording"]["voiced"] == 0


def test_a_model_without_pitch_or_energy_tells_the_rest() -> None:
    for left_out, told_of in (("f0", "level_range"), ("energy@25", "f0")):
        columns = [name for name in COLUMNS if name != left_out]
        kept = LevelAndPitch(columns, 0.01)
        frames = np.zeros((300, len(COLUMNS)), np.float32) - 20
        frames[:, COLUMNS.index("f0")] = 0.7
        kept.add(frames[:, [COLUMNS.index(name) for name in columns]])
        measures = describe({None: kept}, [Stretch(0, 3)])["recording"]
        assert measures["speech_rate"] is None
        assert measures[told_of] is not None
        assert (measures["f0"] is None) == (left_out == "f0")
