"""The coordinator's commands: ``federation`` and ``server``."""

from __future__ import annotations

import typer

from server.federation.cli import federation_commands, run_command, server_commands, watch_command


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
    federation = typer.Typer(no_args_is_help=True, help="A federation of separate sites: set up, run, watch.")
    for module in (federation_commands, run_command, watch_command):
        module.add(federation)
    app.add_typer(federation, name="federation")
    server_commands.add(app)
