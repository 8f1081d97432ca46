"""A service put together: its ways in, what hears, and what keeps scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recogniser.listening.exported_model import ExportedModel
from recogniser.service.grpc_server import GrpcServer
from recogniser.service.kept_scores import KeptScores
from recogniser.service.server_access import Access
from recogniser.service.stream_limits import StreamLimits
from recogniser.web.http_server import HttpServer
from recogniser.workers.file_hearing import FileProcess
from recogniser.workers.worker_scoring import WorkerScoring


def whole_service(
    model: Path,
    hears: ExportedModel,
    access: Access,
    limits: StreamLimits,
    *,
    web_port: int,
    workers: int | None,
    monitor: Path | None,
) -> GrpcServer:
    """A service over gRPC, WebSockets and HTTP.

    Args:
        model: where the model lies, for processes that open it for themselves.
        hears: the model.
        access: who may use it, and where gRPC listens.
        limits: of its streams.
        web_port: of HTTP and WebSockets, on the same address.
        workers: processes that hear streams, and one more for files; None for threads of this one.
        monitor: where scores are kept; None for nowhere.

    Raises:
        UsageError: another model's scores are kept there.
        FedserError: a process does not start, or there is no room for scores.
    """
    kept = KeptScores(monitor, hears) if monitor else None
    files = FileProcess(model, monitor) if workers else None
    beside = [HttpServer(access=replace(access, port=web_port), scores=monitor, hearing=files)]
    scoring = WorkerScoring(model, workers, monitor) if workers else None
    return GrpcServer(model=hears, limits=limits, access=access, kept=kept, beside=beside, scoring=scoring)
