"""The proto's messages as JSON: configs that come, events that go."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped]

from common.escaping import as_json, one_line
from recogniser.service import emotion_pb2 as proto
from recogniser.service.refused_stream import invalid

_DECIMALS = 9  # of a probability, which gRPC sends as 32 bits
_LONGEST = 300  # characters of what is said of a bad config


def read_text(text: str) -> proto.StreamingConfig | None:
    """A config from a text message, its fields named as in the proto; None for ``{"end": true}``.

    Raises:
        RefusedStream: INVALID_ARGUMENT: it is neither.
    """
    try:
        found = json.loads(text)
        if found == {"end": True}:
            return None
        config = proto.StreamingConfig()
        json_format.ParseDict(found, config)
        return config
    except (AttributeError, RecursionError, TypeError, ValueError, json_format.ParseError) as error:
        said = one_line(str(error))[:_LONGEST]
        raise invalid(f'a text message that is neither a config nor {{"end": true}}: {said}') from None


def event_text(message: proto.StreamingRecognizeResponse) -> str:
    """An event, with its ``type``, as JSON."""
    kind = message.WhichOneof("event")
    event = getattr(message, kind)
    fields = _FIELDS[kind](event)
    return as_json({"type": kind, **fields, "audio_processed": message.audio_processed})


def model_dict(model: proto.Model) -> dict[str, Any]:
    """What a client may know of the model."""
    found: dict[str, Any] = json_format.MessageToDict(
        model, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return found


def _growing(own: proto.Window) -> dict[str, Any]:
    return {**_window(own), "stability": round(own.stability, _DECIMALS), "speech": round(own.speech, _DECIMALS)}


def _activity(own: proto.Activity) -> dict[str, Any]:
    channel = own.channel if own.HasField("channel") else None
    return {"time": own.time, "speaking": own.speaking, "channel": channel, "speaker": own.speaker or None}


def _window(own: proto.Window | proto.Segment) -> dict[str, Any]:
    return {
        "start": own.start,
        "end": own.end,
        "channel": own.channel if own.HasField("channel") else None,
        "speaker": own.speaker or None,
        "probabilities": {each.emotion: round(each.probability, _DECIMALS) for each in own.scores},
        "heard": own.heard,
    }


def _segment(own: proto.Segment) -> dict[str, Any]:
    confidence = round(own.confidence, _DECIMALS)
    known = {"id": own.id} if own.id else {}
    return {**_window(own), "emotion": own.emotion or None, "confidence": confidence, **known}


def _lag(own: proto.Lag) -> dict[str, Any]:
    return {"waiting": own.waiting, "skipped": own.skipped}


def _done(own: proto.Done) -> dict[str, Any]:
    return {"profile": base64.b64encode(own.profile).decode() or None}


_FIELDS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "window": _growing,
    "segment": _segment,
    "lag": _lag,
    "activity": _activity,
    "done": _done,
}
