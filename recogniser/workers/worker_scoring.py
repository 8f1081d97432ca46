"""The streams of a service shared out among processes: a stream stays with one, and ends with it."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import grpc

from common.errors import FedserError
from recogniser.service.live_stream import LiveStream, Portion
from recogniser.service.refused_stream import RefusedStream
from recogniser.service.scoring import TICK, Heard
from recogniser.workers.hearing_process import Batch, HearingProcess, Part

_LOG = logging.getLogger(__name__)


class WorkerScoring:
    """What hears all streams of a service, in place of ``Scoring``.

    Args:
        model: where it lies, an export or a run.
        workers: how many processes.
        kept: where scores are kept; None for nowhere.

    Raises:
        FedserError: a process does not start.
    """

    def __init__(self, model: Path, workers: int, kept: Path | None = None) -> None:
        self.streams: set[LiveStream] = set()
        self._shares = [_Share(model, kept) for _ in range(workers)]
        for share in self._shares:  # which start at the same time
            share.process.wait_until_ready()

    @property
    def pids(self) -> list[int | None]:
        """The processes' numbers."""
        return [share.process.pid for share in self._shares]

    def wake(self) -> None:
        """Say that there is something to be heard."""
        for share in self._shares:
            share.work.set()

    def end(self) -> None:
        """Let the processes go."""
        for share in self._shares:
            share.end()

    async def run(self) -> None:
        """Hear what comes, for ever; should a process not start again, no stream waits for it."""
        try:
            async with asyncio.TaskGroup() as group:
                for share in self._shares:
                    group.create_task(self._run(share))
        except* FedserError as failed:
            raise failed.exceptions[0] from None
        finally:
            for stream in self.streams:
                stream.fail(_broken())

    async def _run(self, share: _Share) -> None:
        share.watch()
        while True:
            await share.work.wait()
            share.work.clear()
            self._share_out()
            if share.ended:
                await share.renew()
            while taken := share.take():
                await share.hear(taken)
                await asyncio.sleep(TICK)

    def _share_out(self) -> None:
        """Give each new stream to who has the fewest, and forget those that have ended."""
        for share in self._shares:
            share.forget(self.streams)
        for stream in self.streams - {own for share in self._shares for own in share.numbers}:
            share = min(self._shares, key=lambda each: len(each.numbers))
            share.add(stream)
            share.work.set()


class _Share:
    """A process, and the streams that are its own."""

    def __init__(self, model: Path, kept: Path | None) -> None:
        self._model, self._kept = model, kept
        self.work = asyncio.Event()
        self.numbers: dict[LiveStream, int] = {}
        self._known: set[int] = set()  # to the process
        self._gone: list[int] = []
        self._count = count()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="worker")
        self.process, self.ended = HearingProcess(model, kept), False

    def watch(self) -> None:
        """Be woken when the process ends, be it that nothing is heard."""
        loop, place = asyncio.get_running_loop(), self.process.sentinel

        def end() -> None:
            loop.remove_reader(place)
            self.ended = True
            self.work.set()

        self.ended = False
        loop.add_reader(place, end)

    def add(self, stream: LiveStream) -> None:
        """Take a stream on."""
        self.numbers[stream] = next(self._count)

    def forget(self, streams: set[LiveStream]) -> None:
        """Let go of what has ended."""
        for stream in self.numbers.keys() - streams:
            self._gone.append(self.numbers.pop(stream))

    def take(self) -> list[tuple[LiveStream, Portion]]:
        """What is to be heard next."""
        return [(own, portion) for own in list(self.numbers) if (portion := own.take())]

    async def hear(self, taken: list[tuple[LiveStream, Portion]]) -> None:
        """Have portions heard, and told; where the process is gone its streams end, and another takes its place."""
        batch = Batch(parts=[self._part(stream, portion) for stream, portion in taken], gone=self._gone)
        self._known.difference_update(self._gone)
        self._gone = []
        try:
            heard = await asyncio.get_running_loop().run_in_executor(self._thread, self.process.hear, batch)
        except (EOFError, OSError):
            await self.renew()
            return
        for (stream, portion), own in zip(taken, heard, strict=True):
            self._tell(stream, portion, own)

    def _part(self, stream: LiveStream, portion: Portion) -> Part:
        number = self.numbers[stream]
        request = None if number in self._known else stream.request
        self._known.add(number)
        return Part(number=number, request=request, portion=portion)

    def _tell(self, stream: LiveStream, portion: Portion, own: Heard) -> None:
        if own.failed:
            stream.fail(_broken())
        else:
            stream.tell(portion, own.messages, own.skipped)

    async def renew(self) -> None:
        """End the streams of a process that is gone, and start another.

        Raises:
            FedserError: it does not start.
        """
        _LOG.error("a worker process is gone, and its %d streams with it; another is started", len(self.numbers))
        for stream in self.numbers:
            stream.fail(_broken())
        self._known.clear()
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.process.sentinel)
        self.process.end()
        self.process = HearingProcess(self._model, self._kept)
        await loop.run_in_executor(self._thread, self.process.wait_until_ready)
        self.watch()

    def end(self) -> None:
        """Let the process go."""
        self.process.end()
        self._thread.shutdown(cancel_futures=True)


def _broken() -> RefusedStream:
    return RefusedStream(grpc.StatusCode.UNAVAILABLE, "what hears this stream broke; begin it again")
