"""The commands that use a trained model: ``recognise``, ``listen``, ``draw``, ``export``, ``serve``, ``monitor``."""

from __future__ import annotations

import typer

from recogniser.export import export_command
from recogniser.listening import listen_command
from recogniser.monitoring import monitor_command
from recogniser.pictures import draw_command
from recogniser.recordings import recognise_command
from recogniser.web import serve_command


def add(app: typer.Typer) -> None:
    """Add this ring's commands to the program."""
    listening = (recognise_command, listen_command, draw_command)
    for module in (*listening, export_command, serve_command, monitor_command):
        module.add(app)
