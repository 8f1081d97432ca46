"""The commands of one site: ``site``."""

from __future__ import annotations

import typer

from client.node.cli import desk_commands, process_commands
from client.personal import personalise_command


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
    site = typer.Typer(
        no_args_is_help=True,
        help="Run one site of a federation: make its key, look at what would leave it, take part, read its log, make a "
        "model of its own.",
    )
    for module in (desk_commands, process_commands, personalise_command):
        module.add(site)
    app.add_typer(site, name="site")
