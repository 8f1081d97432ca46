"""One file over HTTP, recognised as ``fedser recognise`` does; it lies in memory, and only while it is heard."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

import grpc
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from common.errors import UsageError
from common.escaping import escaped
from recogniser.listening.file_recognition import RecogniseSettings
from recogniser.listening.lane import ListenSettings
from recogniser.listening.recording_result import RecordingResult
from recogniser.service.open_streams import OpenStreams
from recogniser.service.refused_stream import RefusedStream, invalid
from recogniser.web.status_codes import http_refusal
from recogniser.workers.file_hearing import FileHearing

LARGEST_FILE = 128 << 20  # bytes: an hour of 16 bits at 16 kHz
MOST_FILES = 4  # that are sent or heard at once
_NAMES = {"name", "window", "hop", "adapt", "channels", "least", "pause", "unsure", "leave"}
_LONGEST_WAY = 600.0  # seconds that a file may take to come in
_LONGEST_NAME = 200  # characters
_UNREAD = 422


class SentFiles:
    """What answers ``POST /v1/recognise``: one file is heard at a time, behind the live streams.

    Args:
        streams: of the service, among which a file counts as one.
        hearing: what hears them.
    """

    def __init__(self, streams: OpenStreams, hearing: FileHearing) -> None:
        self._streams, self._hearing, self._open = streams, hearing, 0

    def end(self) -> None:
        """Let go of what hears, once all requests have ended."""
        self._hearing.end()

    async def answer(self, request: Request) -> Response:
        """The result as JSON, or why there is none."""
        try:
            with self._streams.admitted():
                result = await self._recognised(request)
        except RefusedStream as refused:
            return http_refusal(refused)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        self._streams.figures.heard(result.seconds, len(result.segments))
        status = 200 if result.seconds else _UNREAD
        return Response(result.as_json(), status_code=status, media_type="application/json")

    async def _recognised(self, request: Request) -> RecordingResult:
        settings, name = _asked(request)
        if self._open >= MOST_FILES:
            said = f"{self._open} files are heard or wait, as many as may; try again later"
            raise RefusedStream(grpc.StatusCode.RESOURCE_EXHAUSTED, said)
        self._open += 1
        file = _in_memory()
        try:
            await self._take(request, file)
            return await self._heard(request, file, settings, name)
        finally:
            self._open -= 1
            file.close()

    async def _take(self, request: Request, file: IO[bytes]) -> None:
        """Take in a request's body.

        Raises:
            RefusedStream: OUT_OF_RANGE, DEADLINE_EXCEEDED, INVALID_ARGUMENT.
        """
        idle, size = self._streams.limits.idle, 0
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > LARGEST_FILE:
            raise _too_large()
        try:
            async with asyncio.timeout(_LONGEST_WAY):
                chunks = aiter(request.stream())
                while chunk := await asyncio.wait_for(anext(chunks, b""), idle):
                    size += file.write(chunk)
                    if size > LARGEST_FILE:
                        raise _too_large()
        except TimeoutError:
            said = f"nothing more came for {idle:g} s, or not all in {_LONGEST_WAY:g} s"
            raise RefusedStream(grpc.StatusCode.DEADLINE_EXCEEDED, said) from None
        if not size:
            raise invalid("an empty body: expected a file of sound")
        file.flush()

    async def _heard(
        self, request: Request, file: IO[bytes], settings: RecogniseSettings, name: str
    ) -> RecordingResult:
        """What is in a file; should its client go, it is cut to nothing, so that what reads it comes to an end."""
        path, most = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}"), self._streams.limits.seconds
        if not path.exists():
            path = Path(file.name)
        heard = asyncio.create_task(self._hearing.hear(path, settings, most))
        gone = asyncio.create_task(_until_gone(request))
        try:
            both: set[asyncio.Future[Any]] = {heard, gone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not heard.done():
                file.truncate(0)
                with suppress(asyncio.CancelledError, RefusedStream):
                    await asyncio.shield(heard)
        return replace(heard.result(), path=name)


def _too_large() -> RefusedStream:
    said = f"a file above {LARGEST_FILE} bytes; send it in parts, as FLAC, or use fedser recognise"
    return RefusedStream(grpc.StatusCode.OUT_OF_RANGE, said)


def _asked(request: Request) -> tuple[RecogniseSettings, str]:
    """What the address asks for, and the file's name.

    Raises:
        RefusedStream: INVALID_ARGUMENT.
    """
    given = dict(request.query_params)
    if unknown := sorted(given.keys() - _NAMES):
        raise invalid(f"no parameter {unknown[0][:100]!r}; there are {', '.join(sorted(_NAMES))}")
    channels = given.get("channels", "mixed")
    if channels not in ("mixed", "separate"):
        raise invalid(f"channels {channels[:100]!r}: expected mixed or separate")
    plain = ListenSettings()
    try:
        listen = ListenSettings(
            window=float(given.get("window", plain.window)),
            hop=float(given.get("hop", plain.hop)),
            adapt=given.get("adapt", "recording"),
            separate=channels == "separate",
            least=float(given.get("least", plain.least)),
            pause=float(given.get("pause", plain.pause)),
        )
        settings = RecogniseSettings(
            listen=listen, unsure=float(given.get("unsure", 0)), leave=float(given.get("leave", 0))
        )
    except (UsageError, ValueError) as error:
        raise invalid(str(error).removeprefix("--")[:300]) from None
    return settings, escaped(given.get("name", "sound"))[:_LONGEST_NAME]


def _in_memory() -> IO[bytes]:
    """A file without a name, in memory, that is gone with its last user; where there is none, a temporary one."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("sound"), "w+b")
    return NamedTemporaryFile()  # type: ignore[return-value, unused-ignore]


async def _until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
