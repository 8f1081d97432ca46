"""The sound of many streams heard together, in a thread of its own.

Each stream is heard by its own listener, which knows nothing of the others; what is to be scored of all of them goes
through the model at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

import grpc

from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.lane import Due, Stretch
from recogniser.listening.listener import Activity, Event, Listener, stretches_together
from recogniser.listening.recording_result import Segment
from recogniser.service import emotion_pb2 as proto
from recogniser.service.event_messages import event_message
from recogniser.service.kept_profile import write_profile
from recogniser.service.kept_scores import KeptScores
from recogniser.service.live_stream import LiveStream, Message, Portion
from recogniser.service.refused_stream import RefusedStream

TICK = 0.01  # seconds from one time that streams are heard to the next, at least: what comes meanwhile goes together

_LOG = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Heard:
    """What was heard in a portion.

    Attributes:
        messages: of what was scored, and of the end.
        skipped: windows that were not.
        failed: whether the listener broke.
    """

    messages: list[Message] = field(default_factory=list)
    skipped: int = 0
    failed: bool = False


def hear_together(
    model: ExportedModel, portions: Sequence[tuple[Listener, Portion]], kept: KeptScores | None = None
) -> list[Heard]:
    """Hear a portion of each of some streams, and keep the scores of what has closed where that is asked for."""
    heard = [_taken(listener, portion) for listener, portion in portions]
    whole = [(*given, own) for given, own in zip(portions, heard, strict=True) if not own.failed]
    scored = []
    for due, (_, portion, own) in zip(stretches_together(model, [each[0] for each in whole]), whole, strict=True):
        scored.append([each for each in due if portion.windows or not isinstance(each, Stretch) or each.final])
        own.skipped = len(due) - len(scored[-1])
    windows = [each.window for own in scored for each in own if isinstance(each, Stretch)]
    scores = iter(model.score(windows) if windows else ())
    for told, (listener, portion, own) in zip(scored, whole, strict=True):
        own.messages = [_message(*each, kept) for each in zip(told, listener.tell(told, scores), strict=True)]
        if portion.last:
            own.messages.append(_done(model, listener))
    return heard


def _done(model: ExportedModel, listener: Listener) -> Message:
    return Message(done=proto.Done(profile=write_profile(model, [lane.adaptation for lane in listener.lanes])))


def _message(due: Due, event: Event | Activity, kept: KeptScores | None) -> Message:
    if kept and isinstance(due, Stretch) and isinstance(event, Segment):
        return event_message(event, kept.keep(due, event))
    return event_message(event)


def _taken(listener: Listener, portion: Portion) -> Heard:
    """Let a stream take its sound in; one that breaks breaks alone."""
    try:
        listener.take(portion.block, last=portion.last)
    except Exception:
        _LOG.exception("a stream cannot be heard")
        return Heard(failed=True)
    return Heard()


class Scoring:
    """What hears all streams of a service.

    Args:
        model: that listens.
        kept: where scores are kept; None for nowhere.
    """

    def __init__(self, model: ExportedModel, kept: KeptScores | None = None) -> None:
        self._model, self._kept = model, kept
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hearing")
        self._work = asyncio.Event()
        self.streams: set[LiveStream] = set()

    def wake(self) -> None:
        """Say that there is something to be heard."""
        self._work.set()

    def end(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(cancel_futures=True)

    async def run(self) -> None:
        """Hear what comes, for ever; should that break, no stream waits for it."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                while taken := [(own, portion) for own in list(self.streams) if (portion := own.take())]:
                    began = monotonic()
                    await self._hear(taken)
                    await asyncio.sleep(max(0.0, began + TICK - monotonic()))
        finally:
            for stream in self.streams:
                stream.fail(_broken())

    async def _hear(self, taken: list[tuple[LiveStream, Portion]]) -> None:
        portions = [(stream.listener, portion) for stream, portion in taken]
        loop = asyncio.get_running_loop()
        try:
            heard = await loop.run_in_executor(self._thread, hear_together, self._model, portions, self._kept)
        except Exception:
            _LOG.exception("streams cannot be heard")
            heard = [Heard(failed=True) for _ in portions]
        for (stream, portion), own in zip(taken, heard, strict=True):
            if own.failed:
                stream.fail(_broken())
            else:
                stream.tell(portion, own.messages, own.skipped)


def _broken() -> RefusedStream:
    return RefusedStream(grpc.StatusCode.UNAVAILABLE, "what hears this stream broke; begin it again")
