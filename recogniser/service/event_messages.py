"""What is heard, as messages to a client."""

from __future__ import annotations

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.listener import Activity, Event, Growing
from recogniser.listening.recording_result import Segment
from recogniser.service import emotion_pb2 as proto


def event_message(event: Event | Activity, number: str = "") -> proto.StreamingRecognizeResponse:
    """A growing segment, one that has closed, with the id that it is kept by, or that speech begins or ends."""
    if isinstance(event, Activity):
        return proto.StreamingRecognizeResponse(activity=_activity(event))
    if isinstance(event, Segment):
        return proto.StreamingRecognizeResponse(segment=_segment(event, number))
    return proto.StreamingRecognizeResponse(window=_window(event))


def _segment(segment: Segment, number: str) -> proto.Segment:
    return proto.Segment(
        start=segment.start,
        end=segment.end,
        emotion=segment.emotion or "",
        confidence=segment.confidence,
        scores=_scores(segment),
        is_final=True,
        heard=segment.heard,
        channel=segment.channel,
        speaker=segment.speaker or "",
        id=number,
    )


def _window(growing: Growing) -> proto.Window:
    return proto.Window(
        start=growing.start,
        end=growing.end,
        scores=_scores(growing),
        heard=growing.heard,
        channel=growing.channel,
        speaker=growing.speaker or "",
        stability=growing.stability,
        speech=growing.speech,
    )


def _activity(event: Activity) -> proto.Activity:
    return proto.Activity(time=event.time, speaking=event.speaking, channel=event.channel, speaker=event.speaker or "")


def _scores(event: Event) -> list[proto.Score]:
    return [proto.Score(emotion=name, probability=value) for name, value in event.probabilities.items()]


def model_message(model: ExportedModel) -> proto.Model:
    """What a client may know of the model."""
    return proto.Model(
        sha256=model.said.sha256,
        classes=model.said.classes,
        normalise=model.said.normalise,
        synthetic=model.said.synthetic,
        sample_rate_hertz=model.sampling_rate,
    )
