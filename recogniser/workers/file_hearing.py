"""What hears the files that a service is sent, one at a time: a thread of its process, or a process of their own."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from threading import get_native_id
from typing import Protocol

import grpc

from common.processes.parent_watch import end_with_parent
from recogniser.listening.exported_model import ExportedModel
from recogniser.listening.file_recognition import RecogniseSettings, recognise
from recogniser.listening.recording_result import RecordingResult
from recogniser.listening.run_export import open_model
from recogniser.service.kept_scores import KeptScores
from recogniser.service.refused_stream import RefusedStream
from recogniser.sound.file_blocks import FileBlocks

_LOG = logging.getLogger(__name__)
_own: list[tuple[ExportedModel, KeptScores | None]] = []  # in a process that hears files


class FileHearing(Protocol):
    """What hears files."""

    async def hear(self, path: Path, settings: RecogniseSettings, most: float) -> RecordingResult:
        """What is in a file that other processes can open too.

        Args:
            path: of it.
            settings: what is asked for.
            most: seconds that it may have.

        Raises:
            RefusedStream: OUT_OF_RANGE: it is longer; UNAVAILABLE: what heard it broke.
        """

    def end(self) -> None:
        """Let go of what hears, once all is heard."""


class FileThread:
    """A thread, behind those of the live streams.

    Args:
        model: that listens.
        kept: where scores are kept; None for nowhere.
    """

    def __init__(self, model: ExportedModel, kept: KeptScores | None) -> None:
        self._model, self._kept = model, kept
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="files", initializer=_give_way)

    async def hear(self, path: Path, settings: RecogniseSettings, most: float) -> RecordingResult:
        """See ``FileHearing``."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, _heard, self._model, self._kept, path, settings, most)

    def end(self) -> None:
        """See ``FileHearing``."""
        self._thread.shutdown(cancel_futures=True)


class FileProcess:
    """A process, which starts with the first file.

    Args:
        model: where it lies, an export or a run.
        kept: where scores are kept; None for nowhere.
    """

    def __init__(self, model: Path, kept: Path | None) -> None:
        self._given = (model, kept)
        self._pool = self._opened()

    @property
    def pid(self) -> int | None:
        """Its number, once it has started."""
        return next(iter(self._pool._processes or {}), None)

    def _opened(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")  # a copy of this one would hold its sockets
        return ProcessPoolExecutor(1, context, initializer=_begin, initargs=self._given)

    async def hear(self, path: Path, settings: RecogniseSettings, most: float) -> RecordingResult:
        """See ``FileHearing``."""
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, _heard_here, path, settings, most)
        except BrokenProcessPool:
            _LOG.error("the process that hears files is gone; another is started")
            if pool is self._pool:
                self._pool = self._opened()
            raise RefusedStream(grpc.StatusCode.UNAVAILABLE, "what heard this file broke; send it again") from None

    def end(self) -> None:
        """See ``FileHearing``."""
        self._pool.shutdown(cancel_futures=True)


def _begin(model: Path, kept: Path | None) -> None:
    end_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a service's parent tells it when it is to end
    _give_way()
    own = open_model(model)
    _own[:] = [(own, KeptScores(kept, own) if kept else None)]


def _heard_here(path: Path, settings: RecogniseSettings, most: float) -> RecordingResult:
    return _heard(*_own[0], path, settings, most)


def _heard(
    model: ExportedModel, kept: KeptScores | None, path: Path, settings: RecogniseSettings, most: float
) -> RecordingResult:
    blocks = FileBlocks(path=path)
    for _ in blocks:  # a small file can hold days: its header is not asked
        if blocks.samples > most * blocks.rate:
            said = f"more than {most:g} seconds of sound; send it in parts, or use fedser recognise"
            raise RefusedStream(grpc.StatusCode.OUT_OF_RANGE, said)
    return recognise(model, path, settings, keep=kept.keep if kept else None)


def _give_way() -> None:
    """Let live streams go first: on Linux each thread has a priority of its own."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)
