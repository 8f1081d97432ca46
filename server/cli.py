"""The coordinator's commands: ``federation`` and ``server``."""

from __future__ import annotations

import typer

from server.federation import init_cli, run_cli, server_cli, watch_cli


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
    federation = typer.Typer(no_args_is_help=True, help="A federation of separate sites: set up, run, watch.")
    for module in (init_cli, run_cli, watch_cli):
        module.add(federation)
    app.add_typer(federation, name="federation")
    server_cli.add(app)
