"""The commands that use a trained model: ``recognise``, ``listen``, ``draw``, ``export``."""

from __future__ import annotations

import typer

from recogniser.export import export_command


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
    export_command.add(app)
