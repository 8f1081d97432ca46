from __future__ import annotations

import json

from recogniser.listening.recording_result import (
    ModelSaid,
    Problem,
    RecordingResult,
    Segment,
    Summary,
    Trajectory,
)

CLASSES = ["anger", "neutral"]


def segment(start: float, end: float, emotion: str | None, channel: int | None = None) -> Segment:
    found = {"anger": 0.75, "neutral": 0.25}
    return Segment(
        start=start,
        end=end,
        channel=channel,
        speaker=None,
        emotion=emotion,
        confidence=0.75,
        probabilities=found,
        heard=1.5,
    )


def test_a_summary_by_hand() -> None:
    segments = [segment(0, 2, "anger"), segment(2, 3, None), segment(4, 5, "neutral"), segment(5, 9, "anger")]
    expected = Summary(speech=8.0, share={"anger": 0.75, "neutral": 0.125}, changes=2, unsure=0.125)
    assert Summary.of(segments, CLASSES) == expected
    assert Summary.of([], CLASSES) == Summary(speech=0.0, share={"anger": 0.0, "neutral": 0.0}, changes=0, unsure=0.0)


def test_channels_change_by_themselves() -> None:
    segments = [segment(0, 1, "anger", 0), segment(0, 1, "neutral", 1), segment(1, 2, "anger", 0)]
    assert Summary.of(segments, CLASSES).changes == 0


def test_json_is_the_contract_and_reads_back() -> None:
    result = RecordingResult(
        path="a.wav",
        seconds=9.0,
        sampling_rate=16000,
        model=ModelSaid(sha256="ab", classes=CLASSES, normalise="running", synthetic=False),
        settings={"hop": 0.5},
        segments=[segment(0, 2, "anger")],
        trajectory=Trajectory(hop=0.5, times=[0.5], speech=[1.0], probabilities={"anger": [0.7], "neutral": [None]}),
        summary=Summary.of([segment(0, 2, "anger")], CLASSES),
        problems=[Problem(kind="truncated", detail="3 of 4 samples are there")],
    )
    assert RecordingResult.from_json(result.as_json()) == result
    found = json.loads(result.as_json())
    assert list(found) == [
        *("path", "seconds", "sampling_rate", "model", "settings", "segments", "trajectory"),
        *("summary", "prosody", "problems"),
    ]
    assert set(found["model"]) == {"sha256", "classes", "normalise", "synthetic"}
    assert set(found["segments"][0]) == {
        *("start", "end", "channel", "speaker", "emotion", "confidence", "probabilities", "heard")
    }
    assert set(found["trajectory"]) == {"hop", "times", "speech", "probabilities"}
    assert set(found["summary"]) == {"speech", "share", "changes", "unsure"}
