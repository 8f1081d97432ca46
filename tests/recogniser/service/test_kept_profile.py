"""A speaker whom a client has had heard before is no stranger to its next stream, and the service kept nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import ListenSettings
from recogniser.listening.listener import Listener
from recogniser.listening.recording_result import Segment
from recogniser.service import emotion_pb2 as proto
from tests.recogniser.service.serving import PATIENT, Running, client, in_windows, messages, running, segments
from tests.recogniser.speech import RATE, talk


@pytest.fixture(scope="module")
def service(model: ExportedModel) -> Iterator[Running]:
    with running(model, limits=PATIENT) as found:
        yield found


def heard(stub: Any, sound: Any, **more: Any) -> tuple[list[proto.Segment], bytes]:
    found = list(stub.StreamingRecognize(messages(sound, RATE, **more)))
    return segments(found), found[-1].done.profile


def test_a_stream_goes_on_where_an_earlier_one_of_its_speaker_ended(model: ExportedModel, service: Running) -> None:
    """A listener that keeps what the first half taught it says the same of the second, and a stranger's does not."""
    sound = talk(0)
    halves = sound[: len(sound) // 2, None], sound[len(sound) // 2 :, None]
    first = Listener(model, ListenSettings(), RATE, 1)
    taught = [*first.hear(halves[0]), *first.end()]
    known = [lane.adaptation.heard for lane in first.lanes]
    second = Listener(model, ListenSettings(), RATE, 1, known=known)
    [expected] = [own for own in [*second.hear(halves[1]), *second.end()] if isinstance(own, Segment)]
    with client(service) as stub:
        _, profile = heard(stub, halves[0][:, 0], speaker="ann")
        [stranger], _ = heard(stub, halves[1][:, 0])
        [own], both = heard(stub, halves[1][:, 0], profile=profile)
    assert stranger.heard == 0 < own.heard == expected.heard
    assert chances(own) == pytest.approx(list(expected.probabilities.values()), abs=1e-5)
    assert chances(own) != pytest.approx(chances(stranger), abs=1e-3)
    assert taught
    assert len(both) == len(profile) < 8000
    assert b"ann" not in both


def chances(segment: proto.Segment) -> list[float]:
    return [own.probability for own in segment.scores]


def test_nothing_is_given_back_where_nothing_was_learnt(service: Running) -> None:
    with client(service) as stub:
        assert heard(stub, talk(0), adapt=proto.NONE)[1] == b""
        apart = [messages(np.repeat(talk(0)[:RATE], 2), RATE, channels=2, separate_channels=True)]
        assert len(list(stub.StreamingRecognize(apart[0]))[-1].done.profile) > 0


@pytest.mark.parametrize("spoilt", ["short", "other model", "nan", "negative", "two channels", "not adapting"])
def test_what_is_no_profile_of_this_model_is_refused(model: ExportedModel, service: Running, spoilt: str) -> None:
    with client(service) as stub:
        _, profile = heard(stub, talk(0)[:RATE])
        more: dict[str, dict[str, Any]] = {
            "short": {"profile": profile[:-1]},
            "other model": {"profile": profile[:4] + bytes(32) + profile[36:]},
            "nan": {"profile": profile[:-8] + struct.pack("<d", float("nan"))},
            "negative": {"profile": profile[:44] + struct.pack("<d", -1) + profile[52:]},
            "two channels": {"profile": profile, "channels": 2, "separate_channels": True},
            "not adapting": {"profile": profile, "adapt": proto.NONE},
        }
        with pytest.raises(grpc.RpcError, match="profile") as refused:
            list(stub.StreamingRecognize(messages(talk(0)[:RATE], RATE, **more[spoilt])))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_windows_tell_how_little_they_changed(service: Running) -> None:
    """By hand: 1 less the largest difference from the window before it; 0 for a segment's first."""
    with client(service) as stub:
        found = list(stub.StreamingRecognize(in_windows(talk(0))))
    before: list[float] = []
    seen = []
    for own in found:
        if own.HasField("segment"):
            before = []
        elif own.HasField("window"):
            now = [each.probability for each in own.window.scores]
            change = max(abs(a - b) for a, b in zip(now, before, strict=True)) if before else 1
            assert own.window.stability == pytest.approx(1 - change, abs=1e-6)
            seen.append(own.window.stability)
            before = now
    assert seen.count(0) == 2
    assert 0.5 < max(seen) < 1
