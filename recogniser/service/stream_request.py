"""What a client asks for, read from its config and checked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from common.errors import AudioError, UsageError
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import ListenSettings
from recogniser.listening.listener import Listener
from recogniser.listening.unsure import Unsure
from recogniser.service import emotion_pb2 as proto
from recogniser.service.kept_profile import read_profile
from recogniser.service.refused_stream import invalid
from recogniser.sound.pcm import MOST_CHANNELS, RATES, Block, PcmDecoder
from recogniser.sound.turns import Turn, Turns

_ENCODINGS = {
    proto.ENCODING_UNSPECIFIED: "linear16",
    proto.LINEAR16: "linear16",
    proto.FLOAT32: "float32",
    proto.MULAW: "mulaw",
}
_ADAPT = {proto.ADAPT_UNSPECIFIED: "running", proto.RUNNING: "running", proto.NONE: "none"}
_DECIMALS = 9  # of a probability: with fewer, a neighbour's 1e-7 could be told as 1e-6
_LONGEST_NAME = 200  # characters


@dataclass(frozen=True, kw_only=True)
class StreamRequest:
    """A stream as it was asked for.

    Attributes:
        rate: in Hz.
        channels: how many.
        settings: of the listener.
        unsure: the confidence below which a segment has no name.
        speaker: who speaks; None where nobody said.
        windows: whether growing segments are told too.
        activity: whether it is told where speech begins and ends.
        decoder: of its messages.
        profile: what was heard of the speaker in an earlier stream; empty for nothing.
    """

    rate: int
    channels: int
    settings: ListenSettings
    unsure: float
    speaker: str | None
    windows: bool
    decoder: PcmDecoder
    profile: bytes = b""
    activity: bool = False

    @classmethod
    def read(cls, config: proto.StreamingConfig) -> StreamRequest:
        """Check a config.

        Raises:
            RefusedStream: INVALID_ARGUMENT: what of it, and what was expected.
        """
        rate, channels = config.sample_rate_hertz, config.channels or 1
        if not RATES[0] <= rate <= RATES[1]:
            raise invalid(f"sample_rate_hertz {rate}: expected {RATES[0]} to {RATES[1]}")
        if not 1 <= channels <= MOST_CHANNELS:
            raise invalid(f"channels {channels}: expected 1 to {MOST_CHANNELS}")
        if config.encoding not in _ENCODINGS or config.adapt not in _ADAPT:
            raise invalid(f"encoding {config.encoding}, adapt {config.adapt}: expected values that the proto has")
        if len(config.speaker) > _LONGEST_NAME:
            raise invalid(f"speaker has {len(config.speaker)} characters: expected {_LONGEST_NAME} at most")
        if config.profile and _ADAPT[config.adapt] == "none":
            raise invalid("a profile and adapt NONE: expected RUNNING, or no profile")
        try:
            settings = _settings(config)
            Unsure(below=config.unsure)
        except UsageError as error:
            raise invalid(str(error).removeprefix("--")) from None
        return cls(
            rate=rate,
            channels=channels,
            settings=settings,
            unsure=config.unsure,
            speaker=config.speaker or None,
            windows=config.interim_results,
            decoder=PcmDecoder(_ENCODINGS[config.encoding], channels),
            profile=config.profile,
            activity=config.activity,
        )

    def decoded(self, audio: bytes) -> Block:
        """The samples ``(samples, channels)`` of one message.

        Raises:
            RefusedStream: INVALID_ARGUMENT: it ends within a sample.
        """
        block = self.decoder.decode(audio)
        try:
            self.decoder.end()
        except AudioError as error:
            raise invalid(f"audio of {len(audio)} bytes {error}") from None
        return block

    def listener(self, model: ExportedModel) -> Listener:
        """What hears it.

        Raises:
            RefusedStream: INVALID_ARGUMENT: its profile is none of this model's.
        """
        lanes = self.channels if self.settings.separate else 1
        known = [{self.speaker: sums} for sums in read_profile(self.profile, model, lanes)] if self.profile else None
        turns = Turns([Turn(start=0, end=math.inf, speaker=self.speaker)]) if self.speaker else None
        unsure = Unsure(below=self.unsure)
        return Listener(
            model,
            self.settings,
            self.rate,
            self.channels,
            turns=turns,
            known=known,
            unsure=unsure,
            decimals=_DECIMALS,
            activity=self.activity,
        )


def _settings(config: proto.StreamingConfig) -> ListenSettings:
    plain = ListenSettings()
    return ListenSettings(
        window=config.window or plain.window,
        hop=config.hop or plain.hop,
        adapt=_ADAPT[config.adapt],
        separate=config.separate_channels,
        least=config.least or plain.least,
        pause=config.pause or plain.pause,
    )
