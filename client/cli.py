"""The commands of one site: ``site``."""

from __future__ import annotations

import typer

from client.node import desk_cli, run_cli


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
    site = typer.Typer(no_args_is_help=True, help="One site of a federation: its key, its policy, its word.")
    for module in (desk_cli, run_cli):
        module.add(site)
    app.add_typer(site, name="site")
