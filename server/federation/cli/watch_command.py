"""The command that shows a federation at work: ``federation watch``."""

from __future__ import annotations

from typing import Annotated

import typer

from server.federation.cli.folder_option import Dir


def add(app: typer.Typer) -> None:
    """Add these commands."""
    app.command(epilog="Example: fedser federation watch --dir federation")(watch)


def watch(
    directory: Dir = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
) -> None:
    """Show the sites, the round, and how well the model does, until Ctrl-C."""
    from rich.console import Console

    from server.federation.folder import coordinator_folder
    from server.federation.monitor.watch import watch

    watch(coordinator_folder.find(directory), Console(highlight=False), once=once)
