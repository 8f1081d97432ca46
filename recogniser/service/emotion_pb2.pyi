from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    LINEAR16: _ClassVar[Encoding]
    FLOAT32: _ClassVar[Encoding]
    MULAW: _ClassVar[Encoding]

class Adapt(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADAPT_UNSPECIFIED: _ClassVar[Adapt]
    RUNNING: _ClassVar[Adapt]
    NONE: _ClassVar[Adapt]
ENCODING_UNSPECIFIED: Encoding
LINEAR16: Encoding
FLOAT32: Encoding
MULAW: Encoding
ADAPT_UNSPECIFIED: Adapt
RUNNING: Adapt
NONE: Adapt

class StreamingConfig(_message.Message):
    __slots__ = ("encoding", "sample_rate_hertz", "channels", "window", "hop", "interim_results", "speaker", "adapt", "separate_channels", "unsure", "profile", "least", "pause", "activity")
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    HOP_FIELD_NUMBER: _ClassVar[int]
    INTERIM_RESULTS_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    ADAPT_FIELD_NUMBER: _ClassVar[int]
    SEPARATE_CHANNELS_FIELD_NUMBER: _ClassVar[int]
    UNSURE_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    encoding: Encoding
    sample_rate_hertz: int
    channels: int
    window: float
    hop: float
    interim_results: bool
    speaker: str
    adapt: Adapt
    separate_channels: bool
    unsure: float
    profile: bytes
    least: float
    pause: float
    activity: bool
    def __init__(self, encoding: _Optional[_Union[Encoding, str]] = ..., sample_rate_hertz: _Optional[int] = ..., channels: _Optional[int] = ..., window: _Optional[float] = ..., hop: _Optional[float] = ..., interim_results: _Optional[bool] = ..., speaker: _Optional[str] = ..., adapt: _Optional[_Union[Adapt, str]] = ..., separate_channels: _Optional[bool] = ..., unsure: _Optional[float] = ..., profile: _Optional[bytes] = ..., least: _Optional[float] = ..., pause: _Optional[float] = ..., activity: _Optional[bool] = ...) -> None: ...

class StreamingRecognizeRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: StreamingConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[StreamingConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class StreamingRecognizeResponse(_message.Message):
    __slots__ = ("window", "segment", "lag", "done", "activity", "audio_processed")
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    AUDIO_PROCESSED_FIELD_NUMBER: _ClassVar[int]
    window: Window
    segment: Segment
    lag: Lag
    done: Done
    activity: Activity
    audio_processed: float
    def __init__(self, window: _Optional[_Union[Window, _Mapping]] = ..., segment: _Optional[_Union[Segment, _Mapping]] = ..., lag: _Optional[_Union[Lag, _Mapping]] = ..., done: _Optional[_Union[Done, _Mapping]] = ..., activity: _Optional[_Union[Activity, _Mapping]] = ..., audio_processed: _Optional[float] = ...) -> None: ...

class Score(_message.Message):
    __slots__ = ("emotion", "probability")
    EMOTION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    emotion: str
    probability: float
    def __init__(self, emotion: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("start", "end", "scores", "heard", "channel", "speaker", "stability", "speech")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    STABILITY_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    start: float
    end: float
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    heard: float
    channel: int
    speaker: str
    stability: float
    speech: float
    def __init__(self, start: _Optional[float] = ..., end: _Optional[float] = ..., scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., heard: _Optional[float] = ..., channel: _Optional[int] = ..., speaker: _Optional[str] = ..., stability: _Optional[float] = ..., speech: _Optional[float] = ...) -> None: ...

class Activity(_message.Message):
    __slots__ = ("time", "speaking", "channel", "speaker")
    TIME_FIELD_NUMBER: _ClassVar[int]
    SPEAKING_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    time: float
    speaking: bool
    channel: int
    speaker: str
    def __init__(self, time: _Optional[float] = ..., speaking: _Optional[bool] = ..., channel: _Optional[int] = ..., speaker: _Optional[str] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("start", "end", "emotion", "confidence", "scores", "is_final", "heard", "channel", "speaker", "id")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    EMOTION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    IS_FINAL_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    start: float
    end: float
    emotion: str
    confidence: float
    scores: _containers.RepeatedCompositeFieldContainer[Score]
    is_final: bool
    heard: float
    channel: int
    speaker: str
    id: str
    def __init__(self, start: _Optional[float] = ..., end: _Optional[float] = ..., emotion: _Optional[str] = ..., confidence: _Optional[float] = ..., scores: _Optional[_Iterable[_Union[Score, _Mapping]]] = ..., is_final: _Optional[bool] = ..., heard: _Optional[float] = ..., channel: _Optional[int] = ..., speaker: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class Lag(_message.Message):
    __slots__ = ("waiting", "skipped")
    WAITING_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    waiting: float
    skipped: int
    def __init__(self, waiting: _Optional[float] = ..., skipped: _Optional[int] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("profile",)
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    profile: bytes
    def __init__(self, profile: _Optional[bytes] = ...) -> None: ...

class RecognizeRequest(_message.Message):
    __slots__ = ("config", "audio")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    config: StreamingConfig
    audio: bytes
    def __init__(self, config: _Optional[_Union[StreamingConfig, _Mapping]] = ..., audio: _Optional[bytes] = ...) -> None: ...

class RecognizeResponse(_message.Message):
    __slots__ = ("segments", "seconds")
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    seconds: float
    def __init__(self, segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., seconds: _Optional[float] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Model(_message.Message):
    __slots__ = ("sha256", "classes", "normalise", "synthetic", "sample_rate_hertz")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    NORMALISE_FIELD_NUMBER: _ClassVar[int]
    SYNTHETIC_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HERTZ_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    classes: _containers.RepeatedScalarFieldContainer[str]
    normalise: str
    synthetic: bool
    sample_rate_hertz: int
    def __init__(self, sha256: _Optional[str] = ..., classes: _Optional[_Iterable[str]] = ..., normalise: _Optional[str] = ..., synthetic: _Optional[bool] = ..., sample_rate_hertz: _Optional[int] = ...) -> None: ...
