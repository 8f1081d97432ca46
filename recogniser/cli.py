"""The commands that use a trained model: ``recognise``, ``listen``, ``draw``, ``export``."""

from __future__ import annotations

import typer


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
