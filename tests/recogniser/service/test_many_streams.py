"""Eight streams at once: each is told what it is told alone, whatever the others send, and nothing of it is lost."""

from __future__ import annotations

from threading import Thread
from typing import Any

import numpy as np
import pytest

from recogniser.listening.exported_model import ExportedModel
from recogniser.service import emotion_pb2 as proto
from simulations.hearing.no_speech import no_speech
from tests.recogniser.service.serving import PATIENT, client, in_windows, messages, running, segments
from tests.recogniser.speech import RATE, Signal, talk


def told(found: list[proto.StreamingRecognizeResponse]) -> list[list[float]]:
    kinds = ("window", "segment")
    events = [getattr(own, kind) for own in found for kind in kinds if own.HasField(kind)]
    return [[own.start, own.end, own.heard, *(score.probability for score in own.scores)] for own in events]


def test_each_of_eight_is_told_what_it_is_told_alone(model: ExportedModel) -> None:
    """Voices, the same ones 30 times as loud, and noise; of a service with patience, so that no window is skipped."""
    loud, noise = np.clip(30 * talk(1), -1, 1), no_speech("white", 4, -10)
    sounds: list[Signal] = [talk(0), loud, talk(1), noise, talk(0)[::-1].copy(), loud, talk(0), noise]
    with running(model, limits=PATIENT) as service, client(service) as stub:
        alone = {number: list(stub.StreamingRecognize(in_windows(sounds[number]))) for number in (0, 2, 4)}
        together: dict[int, list[Any]] = {}

        def listen(number: int) -> None:
            together[number] = list(stub.StreamingRecognize(in_windows(sounds[number])))

        threads = [Thread(target=listen, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(together) == list(range(8))
    assert all(found[-1].HasField("done") for found in together.values())
    for number, found in alone.items():
        own = together[number]
        assert len(told(found)) > 1
        for one, other in zip(told(own), told(found), strict=True):
            assert one == pytest.approx(other, abs=1e-6)
    assert told(together[3]) == told(together[7]) == []  # noise is nobody
    assert together[0][-1].done.profile == together[6][-1].done.profile


def test_more_than_can_be_heard_in_time_says_so_and_loses_no_segment(model: ExportedModel) -> None:
    """Eight times half a minute that comes at once."""
    sound = np.tile(talk(0), 5)
    with running(model) as service, client(service) as stub:
        [expected] = [segments(stub.StreamingRecognize(messages(sound, RATE // 10)))]
        calls = [stub.StreamingRecognize(messages(sound, len(sound) // 4, interim_results=True)) for _ in range(8)]
        for call in calls:
            found = list(call)
            assert any(own.HasField("lag") and own.lag.skipped for own in found)
            assert [(own.start, own.end) for own in segments(found)] == [(own.start, own.end) for own in expected]
