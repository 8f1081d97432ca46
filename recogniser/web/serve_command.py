"""``fedser serve``: live streams of sound from elsewhere, over gRPC and WebSockets; files over HTTP; a page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from recogniser.listening.stream_options import Model

_SWITCH = 0.0005  # seconds that the event loop waits at most for the thread that hears, or the other way round

Host = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Where it listens.")]
Port = Annotated[
    int, typer.Option("--port", metavar="N", min=0, max=65535, help="Of HTTP and WebSockets; 0 for any that is free.")
]
GrpcPort = Annotated[int, typer.Option("--grpc-port", metavar="N", min=0, max=65535, help="Of gRPC; likewise.")]
Certificate = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="PEM", help="The service's certificate.", show_default=False)
]
Key = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its private key.", show_default=False)]
ClientCa = Annotated[
    Path | None,
    typer.Option("--client-ca", metavar="PEM", help="Whose certificates clients must have.", show_default=False),
]
Token = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="Mode 600: the token clients must have.", show_default=False),
]
Proxy = Annotated[bool, typer.Option("--behind-proxy", help="TLS ends before it; a token is needed all the same.")]
Streams = Annotated[int, typer.Option("--max-streams", metavar="N", help="Served at once.")]
Seconds = Annotated[float, typer.Option("--max-seconds", metavar="S", help="Of sound in a stream.")]
Idle = Annotated[float, typer.Option("--idle", metavar="S", help="Without a message, after which a stream ends.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Processes that hear, each a core's worth; else a thread.",
        show_default=False,
    ),
]
Monitor = Annotated[
    Path | None,
    typer.Option(
        "--monitor", metavar="DIR", help="Keep each segment's scores there, for fedser monitor.", show_default=False
    ),
]


def add(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        epilog="Example: fedser serve --model runs/emodb\n\n"
        "To a network: fedser serve --model runs/emodb --host 0.0.0.0 --tls-cert c.pem --tls-key k.pem --token-file t"
    )(serve)


def serve(
    model: Model,
    host: Host = "127.0.0.1",
    port: Port = 8090,
    grpc_port: GrpcPort = 8091,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    client_ca: ClientCa = None,
    token_file: Token = None,
    behind_proxy: Proxy = False,
    max_streams: Streams = 64,
    max_seconds: Seconds = 3600.0,
    idle: Idle = 30.0,
    workers: Workers = None,
    monitor: Monitor = None,
) -> None:
    """Hear streams of sound from other programs and from a page, over gRPC, WebSockets and HTTP, until it is ended.

    Nothing of the sound is kept. The uses that the EU's AI Act forbids, such as at work and at school, stay forbidden.
    """
    import asyncio
    import os
    import sys

    from common.errors import FedserError

    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own lines say what ours do, and clients' mistakes
    try:
        from recogniser.service.grpc_server import serve_until_told
    except ImportError as error:
        raise FedserError(f"serve needs {error.name}: pip install 'fedser[recogniser]'") from None
    from recogniser.listening.run_export import open_model
    from recogniser.service.server_access import Access, read_pair, read_pem, read_token
    from recogniser.service.stream_limits import StreamLimits
    from recogniser.web.whole_service import whole_service

    certificate, key = read_pair(tls_cert, tls_key)
    access = Access(
        host=host,
        port=grpc_port,
        certificate=certificate,
        key=key,
        client_ca=read_pem(client_ca, "--client-ca"),
        token=read_token(token_file) if token_file else None,
        behind_proxy=behind_proxy,
    )
    limits = StreamLimits(streams=max_streams, seconds=max_seconds, idle=idle)
    hears = open_model(model)
    if hears.said.synthetic:
        typer.echo("This model learnt from synthetic speech: it knows nothing of people.", err=True)

    server = whole_service(model, hears, access, limits, web_port=port, workers=workers, monitor=monitor)
    sys.setswitchinterval(_SWITCH)
    asyncio.run(serve_until_told(server, partial(_say, host, ", TLS" if tls_cert else "")))


def _say(host: str, tls: str, grpc_at: int, http_at: int) -> None:
    ports = f"port {grpc_at} (gRPC{tls}) and port {http_at} (page, HTTP{tls})"
    typer.echo(f"Listens on {host}, {ports}; Ctrl-C ends it", err=True)
