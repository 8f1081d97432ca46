"""``fedser server``: the coordinator's server as plain processes, or as a container's command."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from common.deployment.loopback import LOOPBACK
from common.validate import plain_path
from server.federation.cli.folder_option import Dir


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(epilog="Example: fedser server --dir federation")(server)


def server(
    directory: Dir = None,
    no_proxy: Annotated[
        bool, typer.Option("--no-proxy", help="Without nginx; sites must reach /v1/fleet/ alone by other means.")
    ] = False,
    listen: Annotated[
        str,
        typer.Option(
            "--listen",
            metavar="HOST",
            help="For a container: SuperLink and admin page listen there, at 8000 and 8080. Sites must not reach them.",
        ),
    ] = "127.0.0.1",
) -> None:
    """Run the coordinator: SuperLink, proxy, admin page. Ctrl-C ends it."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    from server.federation.folder import coordinator_folder
    from server.federation.monitor import admin
    from server.federation.service import supervisor

    found = coordinator_folder.find(directory)
    plain_path("--dir", found.root.absolute())
    if listen != LOOPBACK:  # a container: its ports are fixed, compose.yaml publishes them as the folder says
        found = coordinator_folder.Folder(root=found.root, host=found.host)
    supervisor.serve(
        found,
        admin.serve,
        listen=listen,
        with_proxy=not no_proxy,
        stop=stop,
        say=lambda line: typer.echo(f"fedser: {line}"),
    )
